"""For benchmarks whose tasks are functions: programs out of what a model wrote, and calls."""

from typing import Any

from codedpo_eval.benchmarks.registry import Task
from codedpo_plugin.parsing.extraction import code_of, parsed


def written(response: str, entry_point: str | None) -> str:
    """The program in a chat answer: without thinking, the last block with the entry point."""
    return code_of(response, entry_point) or ""


def completed(prompt: str, response: str, entry_point: str | None, stops: list[str]) -> str:
    """The prompt and what a base model went on with, up to a stop; cut where it breaks off."""
    cuts = [at for stop in stops if (at := response.find(stop)) >= 0]
    text = prompt + response[: min(cuts, default=None)]
    if parsed(text) is not None:
        return text
    return code_of(f"```python\n{text}\n```", entry_point) or text


def call_of(task: Task, arguments: list[Any]) -> str:
    """The source of a call of the entry point."""
    return f"{task.entry_point}({', '.join(map(repr, arguments))})"
