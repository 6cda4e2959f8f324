"""The base of all recipe sections, and types of keys."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator

from codedpo_plugin.run_folder.files import location


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, and values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | Path) else value


Location = Annotated[
    Path,
    PlainValidator(location, json_schema_input_type=str),
    PlainSerializer(str, when_used="json"),
]
"""A path, or an address in an object store."""
