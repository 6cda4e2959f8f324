"""For benchmarks whose tasks are functions: programs from answers, and source of calls."""

from typing import Any

from codedpo_eval.benchmarks.registry import Task
from codedpo_plugin.parsing.extraction import code_of
from codedpo_plugin.parsing.syntax import parsed


def from_chat(response: str, entry_point: str | None) -> str:
    """The program in a chat answer: the last code block with the entry point, thinking stripped."""
    return code_of(response, entry_point) or ""


def from_completion(prompt: str, response: str, entry_point: str | None, stops: list[str]) -> str:
    """The prompt and a base model's continuation up to a stop string, without an unfinished end."""
    cuts = [at for stop in stops if (at := response.find(stop)) >= 0]
    text = prompt + response[: min(cuts, default=None)]
    if parsed(text) is not None:
        return text
    return code_of(f"```python\n{text}\n```", entry_point) or text


def call_of(task: Task, arguments: list[Any]) -> str:
    """The source of a call of the entry point."""
    return f"{task.entry_point}({', '.join(map(repr, arguments))})"
