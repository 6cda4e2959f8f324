"""Prompt templates."""

from pathlib import Path

import pytest

from codedpo_plugin.errors import InputError
from codedpo_plugin.synthesis import prompts


def test_templates_are_named_with_a_hash_and_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Solve: $prompt ($other)")
    template = prompts.load(str(tmp_path / "mine.txt"), "prompt")
    assert template.fill(prompt="cost $5") == "Solve: cost $5 ($other)"
    assert template.name.startswith("mine@")
    (tmp_path / "bad.txt").write_text("Solve it.")
    with pytest.raises(InputError, match=r"it uses none of \$prompt"):
        prompts.load(str(tmp_path / "bad.txt"), "prompt")
    with pytest.raises(InputError, match="known templates: concepts-v1"):
        prompts.load("solution-v9", "prompt")
