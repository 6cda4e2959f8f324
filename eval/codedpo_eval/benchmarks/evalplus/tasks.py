"""HumanEval(+) and MBPP(+), with evalplus's data: prompts, and how programs are graded.

A program's process gets only the inputs, and sends back what it returned. That is compared with the
expected values outside of it, by evalplus's rules (`comparison_rules`). Expected values and times
are those of the reference solution, run in the same sandbox (`reference_outputs`). As in evalplus,
all tests of a program run in one process, so a program that keeps state between calls may fail.
"""

import json
import marshal
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codedpo_eval.benchmarks.answers import call_of, from_chat, from_completion
from codedpo_eval.benchmarks.evalplus import comparison, comparison_rules
from codedpo_eval.benchmarks.evalplus.inputs import LONGEST, arguments, family
from codedpo_eval.benchmarks.evalplus.reference_outputs import Expected, expected_of
from codedpo_eval.benchmarks.registry import Benchmark, Grader, Located, Prompt, Task
from codedpo_eval.verdict import PASS, GradeSettings, Verdict
from codedpo_plugin.errors import InputError
from codedpo_plugin.sandbox.client import Cell, Limits, Reply, Sandbox

# evalplus 0.3.1, provider/utility.py and codegen.py.
_STOPS = ["<|endoftext|>", "<|endofmask|>", "</s>", "\nif __name__", "\ndef main(", "\nprint("]
_MORE_STOPS = {
    "HumanEval": ["\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert "],
    "Mbpp": ['\n"""', "\nassert"],
}
_INSTRUCTION = (
    "Please provide a self-contained Python script that solves the following problem in a "
    "markdown code block:"
)

_NO_SOURCE = re.compile(r"\b(inf|nan)\b")
_BUDGET = 60.0  # CPU seconds of a program's tests beyond `factor` times those of the reference
_MAX_FAILED = 20  # failed tests that a verdict lists
_COMPARING = 10.0  # CPU seconds that comparing two long values may take
_LONG = 20_000  # characters from which values are compared in the sandbox


def tasks(rows: Iterable[Located]) -> list[Task]:
    """Check the rows.

    Raises:
        InputError: it is another file, such as OpenAI's HumanEval or the hub's MBPP+.
    """
    return [_task(place, row) for place, row in rows]


def _task(place: str, row: dict[str, Any]) -> Task:
    missing = [column for column in _COLUMNS if column not in row]
    if missing:
        raise InputError(
            f"{place}: no column {', '.join(missing)}; HumanEvalPlus.jsonl or MbppPlus.jsonl from "
            f"evalplus's releases is needed. The row has: {', '.join(map(str, row))}"
        )
    reference = row["prompt"] + row["canonical_solution"]
    return Task(row["task_id"], row["prompt"], row["entry_point"], reference, json.dumps(row))


_COLUMNS = (
    "task_id prompt entry_point canonical_solution base_input plus_input atol".split()
)  # fmt: skip


def prompt_and_stops(task: Task, style: str) -> tuple[Prompt, list[str]]:
    """evalplus's prompts; in chat style its instruction, without a prefilled answer."""
    prompt = task.prompt.strip()
    if style == "chat":
        content = f"{_INSTRUCTION}\n```python\n{prompt}\n```"
        return [{"role": "user", "content": content}], []
    return f"{prompt}\n", [*_STOPS, *_MORE_STOPS.get(family(task), [])]


def program(task: Task, response: str, style: str) -> str:
    """The code block that defines the entry point; or the prompt and its continuation."""
    if style == "chat":
        return from_chat(response, task.entry_point)
    return from_completion(
        f"{task.prompt.strip()}\n", response, task.entry_point, prompt_and_stops(task, style)[1]
    )


def calls(task: Task) -> list[str]:
    """For timing: calls on the plus inputs that can be written as source."""
    found = [call_of(task, one) for one in arguments(task)[1]]
    return [call for call in found if not _NO_SOURCE.search(call)]


@contextmanager
def grader(benchmark: Benchmark, settings: GradeSettings) -> Iterator[Grader]:
    """A sandbox for programs; reference outputs of one task at a time are in memory."""
    limits = Limits(LONGEST, settings.memory_mb, max_timeouts=1, share="solution")
    with Sandbox(limits) as sandbox:

        def graded(task: Task, programs: list[str]) -> list[Verdict]:
            expected = expected_of(benchmark, task, sandbox, settings.memory_mb)
            return _TaskGrader(task, expected, sandbox, settings, benchmark.plus).verdicts(programs)

        yield graded


class _TaskGrader:
    """Grades programs of one task."""

    def __init__(
        self, task: Task, expected: Expected, sandbox: Sandbox, settings: GradeSettings, plus: bool
    ) -> None:
        base, more = arguments(task)
        self.task, self.sandbox, self.settings = task, sandbox, settings
        self.expected = expected
        self.inputs = [*base, *more] if plus else base
        self.base, self.plus = len(base), plus
        known = (family(task), task.entry_point or "", task.row["atol"])
        self.rules = [
            rule
            for texts in (expected.texts[: self.base], expected.texts[self.base :])
            for rule in comparison_rules.rules_of(*known, texts)
        ]
        self.known: dict[tuple[int, str], bool] = {}

    def verdicts(self, programs: list[str]) -> list[Verdict]:
        """Run the base tests of all programs, then the plus tests of those that passed."""
        base = self._run(programs, range(self.base))
        found = [self._verdict(0, replies) for replies in base]
        if not self.plus:
            return found
        good = [n for n, verdict in enumerate(found) if verdict.base == PASS]
        more = self._run([programs[n] for n in good], range(self.base, len(self.inputs)))
        for n, verdict in enumerate(found):
            found[n] = _joined(verdict, None)
        for n, replies in zip(good, more, strict=True):
            found[n] = _joined(found[n], self._verdict(self.base, replies))
        return found

    def _run(self, programs: list[str], tests: range) -> list[list[Reply]]:
        """Replies, [programs][tests]; tests with equal limits are run together."""
        table: list[list[Reply]] = [[Reply("not_run")] * len(tests) for _ in programs]
        groups: dict[float, list[int]] = defaultdict(list)
        for test in tests:
            groups[self._limit(test)].append(test)
        running = list(range(len(programs)))
        budget = _BUDGET + self.settings.factor * self.expected.total_seconds
        for seconds, some in sorted(groups.items()):
            cells = [self._cell(test) for test in some]
            replies = self.sandbox.run_all([programs[n] for n in running], cells, seconds, budget)
            for n, line in zip(running, replies, strict=True):
                for test, reply in zip(some, line, strict=True):
                    table[n][test - tests.start] = reply
            running = [n for n in running if all(r.outcome != "timeout" for r in table[n])]
        return table

    def _limit(self, test: int) -> float:
        """CPU seconds: the base limit, doubled until it allows for the reference's time."""
        limit, wanted = self.settings.seconds, self.settings.factor * self.expected.seconds[test]
        while limit < wanted:
            limit *= 2
        return min(limit, LONGEST)

    def _cell(self, test: int) -> Cell:
        return {
            "function": self.task.entry_point,
            "arguments": marshal.dumps(self.inputs[test], 2),
            "digest": self.expected.hashed[test],
        }

    def _verdict(self, first: int, replies: list[Reply]) -> Verdict:
        """The verdict on the tests from `first` on."""
        failed, status, error = [], PASS, None
        for test, reply in enumerate(replies, first):
            held, outcome, why = self._judged(test, reply)
            if held:
                continue
            if status == PASS or (status == "not_run" and outcome != "not_run"):
                status, error = outcome, why
            failed.append(test)
        if (
            status == "not_run"
        ):  # its budget was used up; or, with an error, no process could run it
            status = "crashed" if error else "timeout"
        seconds = sum(reply.seconds for reply in replies)
        return Verdict(status, None, tuple(failed[:_MAX_FAILED]), seconds, True, error)

    def _judged(self, test: int, reply: Reply) -> tuple[bool, str, str | None]:
        """Whether a test passed; the status and the error if not."""
        if reply.record is None:
            return False, {"failed": "error"}.get(reply.outcome, reply.outcome), reply.error
        values = reply.record.get("values", [])
        if len(values) != 1:
            return False, "crashed", "its process did not send one value"
        text = values[0]
        if text == self.expected.texts[test] and self.rules[test].literal:
            return True, PASS, None
        if self.expected.hashed[test]:
            return False, "fail", None
        key = (test, text)
        if key not in self.known:
            self.known[key] = self._agrees(test, text)
        return self.known[key], "fail", None

    def _agrees(self, test: int, text: str) -> bool:
        rule = self.rules[test]
        if len(text) <= _LONG and len(self.expected.texts[test]) <= _LONG:
            return comparison_rules.agrees(rule, self.inputs[test], text, self.expected.texts[test])
        values = [text, self.expected.texts[test]]
        known = self.inputs[test] if rule.special else []
        assertion = f"agree({rule.special!r}, {rule.atol!r}, {known!r}, _r0, _r1)"
        cell: Cell = {"assertion": assertion, "values": values}
        program = Path(comparison.__file__).read_text()
        (reply,) = self.sandbox.run_all([program], [cell], _COMPARING)[0]
        return reply.record is not None and reply.record.get("done") is True


def _joined(base: Verdict, plus: Verdict | None) -> Verdict:
    """The verdict on base and plus tests; `plus` is None where the base tests decide both."""
    if plus is None:
        return Verdict(base.base, base.base, base.failed_tests, base.seconds, True, base.error)
    seconds = base.seconds + plus.seconds
    return Verdict(base.base, plus.base, plus.failed_tests, seconds, True, plus.error)
