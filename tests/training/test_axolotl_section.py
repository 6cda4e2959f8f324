"""The `codedpo:` section of an Axolotl recipe: no Axolotl is needed."""

import pytest

from codedpo_plugin.errors import InputError
from codedpo_plugin.training import axolotl_section


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"datasset": "x"}, "codedpo.datasset: unknown key; did you mean 'dataset'?"),
        ({"zzz": "x"}, "valid keys: dataset, recipe, config"),
        ({"dataset": "x", "recipe": "y"}, "codedpo: give one of"),
        ({"dataset": "x", "config": "dpoo"}, "codedpo.config: Input should be"),
    ],
)
def test_a_wrong_section_for_axolotl_is_named(section: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as raised:
        axolotl_section.section_of({"rl": "dpo", "codedpo": section})
    assert message in str(raised.value)
