"""Which cells of a pass matrix are run, in which order, and with which CPU limit.

Programs that hang cost more time than all others together. So every cell is first run with a short
limit; cells that exceeded it are run again with the full limit if their program can still become
the one that passes most tests. A test on which all programs hang is not held against them.
"""

from collections.abc import Collection, Sequence

from codedpo_plugin.execution.judge import Judge
from codedpo_plugin.execution.outcomes import Verdict
from codedpo_plugin.parsing.assertions import Test
from codedpo_plugin.sandbox.client import Cell, Reply, Sandbox

_SHORT = 0.1  # of the CPU limit, at first


def run_cells(programs: list[str], tests: list[Test], sandbox: Sandbox) -> list[list[Verdict]]:
    """Verdicts of every program on every test, [programs][tests]."""
    matrix = _Matrix(programs, tests, sandbox)
    matrix.run_all_briefly()
    hanging = matrix.skip_hanging_tests()
    passed = matrix.passed()
    hanging -= matrix.heavy_tests(hanging, passed)
    matrix.run_contenders(hanging, passed)
    return matrix.verdicts


class _Matrix:
    """The verdicts so far."""

    def __init__(self, programs: list[str], tests: list[Test], sandbox: Sandbox) -> None:
        self.programs, self.tests, self.sandbox = programs, tests, sandbox
        self.verdicts = [[Verdict("not_run")] * len(tests) for _ in programs]
        self._judge = Judge(sandbox)
        self._full = sandbox.limits.seconds
        self._short = self._full * _SHORT

    def run_all_briefly(self) -> None:
        """Run every cell with the short limit."""
        self._run(range(len(self.programs)), range(len(self.tests)), self._short)

    def skip_hanging_tests(self) -> set[int]:
        """Run what was skipped because of time-outs on tests that hang for every program.

        Returns:
            Those tests.
        """
        hanging: set[int] = set()
        while more := _hanging_tests(self.verdicts) - hanging:
            hanging |= more
            for program in range(len(self.programs)):
                self._run([program], self._with(program, {"not_run"}, hanging), self._short)
        return hanging

    def passed(self) -> list[int]:
        """How many tests each program has passed."""
        return [sum(verdict.outcome == "passed" for verdict in line) for line in self.verdicts]

    def heavy_tests(self, hanging: set[int], passed: list[int]) -> set[int]:
        """Of tests that hang, those that the best program can run with the full limit."""
        best = passed.index(max(passed)) if passed else 0
        for test in sorted(hanging):
            self._run([best], [test], self._full)
        return {test for test in hanging if self.verdicts[best][test].outcome != "timeout"}

    def run_contenders(self, hanging: set[int], passed: list[int]) -> None:
        """Run the rest, with the full limit, of programs that could still pass the most tests.

        One cell first: a program that times out there too has had its chance.
        """
        for program in range(len(self.programs)):
            rest = self._with(program, {"timeout", "not_run"}, hanging)
            if not rest or passed[program] + len(rest) < max(passed):
                continue
            first, *others = rest
            self._run([program], [first], self._full)
            if self.verdicts[program][first].outcome in ("passed", "failed"):
                self._run([program], others, self._full)

    def _with(self, program: int, outcomes: set[str], excluded: Collection[int]) -> list[int]:
        """Tests on which a program has one of these outcomes."""
        line = enumerate(self.verdicts[program])
        return [n for n, one in line if one.outcome in outcomes and n not in excluded]

    def _run(self, programs: Sequence[int], tests: Sequence[int], seconds: float) -> None:
        """Run some programs on some tests, and keep the verdicts."""
        if not (programs and tests):
            return
        sources, chosen = [self.programs[n] for n in programs], [self.tests[n] for n in tests]
        replies = _replies(sources, chosen, self.sandbox, seconds)
        for program, line in zip(programs, replies, strict=True):
            for n, test, reply in zip(tests, chosen, line, strict=True):
                self.verdicts[program][n] = self._judge.verdict(test, reply)
            self._evaluate_messages(program, tests, seconds)

    def _evaluate_messages(self, program: int, tests: Sequence[int], seconds: float) -> None:
        """Run failed tests whole whose messages may raise: that exception is the outcome then."""
        line = self.verdicts[program]
        failed = [n for n in tests if self.tests[n].message and line[n].outcome == "failed"]
        whole = [self.tests[n] for n in failed]
        replies = _run_whole(self.programs[program], whole, self.sandbox, seconds)
        for n, reply in zip(failed, replies, strict=True):
            if reply.record is None and reply.outcome != "not_run":
                line[n] = line[n]._replace(outcome=reply.outcome, error=reply.error)


def _hanging_tests(verdicts: list[list[Verdict]]) -> set[int]:
    """Tests on which all programs that ran them, at least two, timed out."""
    hanging = set()
    for n, column in enumerate(zip(*verdicts, strict=True)):
        ran = [verdict.outcome for verdict in column if verdict.outcome != "not_run"]
        if len(ran) > 1 and set(ran) == {"timeout"}:
            hanging.add(n)
    return hanging


def _replies(
    programs: list[str], tests: list[Test], sandbox: Sandbox, seconds: float
) -> list[list[Reply]]:
    """Replies, [programs][tests]; tests that turn out to need the solution's names run whole."""
    replies = sandbox.run_all(programs, [_cell(test) for test in tests], seconds)
    for program, line in zip(programs, replies, strict=True):
        whole = [n for n, reply in enumerate(line) if tests[n].foreign and _needs_whole(reply)]
        again = _run_whole(program, [tests[n] for n in whole], sandbox, seconds)
        for n, reply in zip(whole, again, strict=True):
            line[n] = reply
    return replies


def _run_whole(program: str, tests: list[Test], sandbox: Sandbox, seconds: float) -> list[Reply]:
    """Run tests in the solution's process, assertion and all."""
    snippets: list[Cell] = [{"snippet": test.source} for test in tests]
    return sandbox.run_all([program], snippets, seconds)[0] if tests else []


def _needs_whole(reply: Reply) -> bool:
    return reply.record is not None and "whole" in reply.record


def _cell(test: Test) -> Cell:
    if not (test.calls or test.foreign):
        return {"snippet": test.source}
    return {"calls": list(test.calls), "names": list(test.names), "foreign": list(test.foreign)}
