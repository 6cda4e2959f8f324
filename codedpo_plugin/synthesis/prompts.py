"""Prompt templates: texts with `$names`, from the package (`templates/`) or the user.

A template in the package never changes: a better one gets a new name (`solution-v2`).
"""

import hashlib
import string
from dataclasses import dataclass
from pathlib import Path

from codedpo_plugin.errors import InputError

_FOLDER = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Template:
    """A text with `$names` to fill in."""

    name: str
    """As in the recipe, followed by a hash of the text."""
    text: str

    def fill(self, **values: str) -> str:
        """The text with these names filled in; any other `$name` stays as it is."""
        return string.Template(self.text).safe_substitute(values)


def opening(prompt: str) -> str:
    """The beginning of the answer in a prompt, from its open code fence on; empty without one."""
    _, fence, rest = prompt.rpartition("```python\n")
    return fence + rest if fence and "```" not in rest else ""


def load(name: str, *names: str) -> Template:
    """A template of the package, or a user's file.

    Args:
        name: of the template, or a path.
        names: those that can be filled in; the text has to use at least one.

    Raises:
        InputError: there is no such template, or it uses none of the names.
    """
    path = _FOLDER / f"{name}.txt"
    path = path if path.is_file() else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(one.stem for one in _FOLDER.glob("*.txt")))
        raise InputError(f"template {name}: {error}; known templates: {known}") from None
    found = string.Template(text).get_identifiers()
    if not set(found) & set(names):
        raise InputError(
            f"template {name}: it uses none of {', '.join('$' + one for one in names)}"
        )
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return Template(f"{path.stem}@{digest}", text)
