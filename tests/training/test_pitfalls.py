"""Keys and rows that are valid by themselves and go wrong together: found without the stacks."""

import pytest

pytest.importorskip("datasets", reason="pip install 'codedpo[train]'")

from datasets import Dataset

from codedpo_plugin.training import pitfalls
from codedpo_plugin.training import recipe as training
from helpers.paths import RECIPES


def test_kto_rows_next_to_one_of_the_same_prompt_are_counted() -> None:
    kto = training.load([RECIPES / "trl" / "kto.yaml"])

    def messages(prompts: list[str]) -> list[str]:
        rows = Dataset.from_dict({"prompt": prompts, "completion": ["c"] * len(prompts)})
        return [finding.message for finding in pitfalls.of_rows(kto, rows, 1)]

    (message,) = messages([f"p{n // 4}" for n in range(12)])
    assert "9 of 12 rows follow one of the same prompt" in message
    assert not messages([f"p{n % 4}" for n in range(12)])


def test_a_column_that_trl_treats_as_images_is_an_error() -> None:
    recipe = training.load([RECIPES / "trl" / "kto.yaml"])
    rows = Dataset.from_dict({"prompt": ["p"], "completion": ["c"], "images": [1]})
    (finding,) = pitfalls.of_rows(recipe, rows, 1)
    assert finding.message == "column images: TRL treats the rows as images; rename it"
