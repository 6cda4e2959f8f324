"""Secrets and personal data in source code."""

import pytest

from codedpo_plugin.synthesis.secrets import found_in


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("key = 'AKIAIOSFODNN7EXAMPLE'", "secret"),
        ("-----BEGIN RSA PRIVATE KEY-----", "secret"),
        ("url = 'postgres://me:hunter2@db/x'", "secret"),
        ("api_key = \"0123456789abcdef\"", "secret"),
        ("write to joe@mail.company.com", "personal data"),
        ("write to joe@example.com", None),
        ("token = tokens[0]", None),
        ("password = input()", None),
    ],
)  # fmt: skip
def test_secrets_and_personal_data(text: str, what: str | None) -> None:
    assert found_in(text) == what
