"""Secrets and personal data in source code, which must not reach a model or a dataset."""

import re

_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\bAKIA[0-9A-Z]{16}\b"  # AWS
    r"|\bAIza[0-9A-Za-z_-]{35}\b"  # Google
    r"|\bgh[pousr]_[0-9A-Za-z]{36}|\bgithub_pat_\w{22,}"
    r"|\bglpat-[\w-]{20}"
    r"|\bhf_[0-9A-Za-z]{30,}"
    r"|\bxox[abprs]-[\w-]{10,}"  # Slack
    r"|\b[rsp]k_(?:live|test)_[0-9A-Za-z]{16,}"  # Stripe
    r"|\bsk-[\w-]{20,}"  # OpenAI and others
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\."  # JSON web token
    r"|\b\w*(?:passw(?:or)?d|secret|token|api_?key)\w*['\"]?\s*[:=]\s*['\"][^'\"\s]{8,}['\"]"
    r"|://[^/\s:@'\"]+:[^/\s:@'\"]{3,}@",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"\b[\w.+-]+@(?!(?:[\w-]+\.)*(?:example|test|localhost|invalid)\b)"
                    r"[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\b", re.IGNORECASE)  # fmt: skip


def found_in(text: str) -> str | None:
    """`secret` or `personal data`, if the text seems to hold any."""
    if _SECRETS.search(text):
        return "secret"
    return "personal data" if _EMAIL.search(text) else None
