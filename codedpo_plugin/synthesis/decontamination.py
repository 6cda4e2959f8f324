"""Decontamination: which problems are a benchmark's, by their words and by what solves them.

Words find copies; running finds what was reworded or translated: a solution that passes all tests
of a benchmark's problem, under its own name for the function, has learnt that problem. Three tests
are little evidence: where the benchmark has a solution of its own, the two must agree on further
inputs, too.
"""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from codedpo_plugin.execution.execute import execute_problem
from codedpo_plugin.parsing.extraction import parsed
from codedpo_plugin.parsing.input_mutation import mutated_calls
from codedpo_plugin.parsing.programs import normalised
from codedpo_plugin.parsing.snippets import is_call
from codedpo_plugin.run_folder.shards import Row
from codedpo_plugin.sandbox.client import Cell, Limits, Reply, Sandbox
from codedpo_plugin.sandbox.encoding import canonical
from codedpo_plugin.synthesis.benchmark_problems import Problem
from codedpo_plugin.synthesis.near_duplicates import words

# A program meets hundreds of tests that are not meant for it, and may well hang on some.
LIMITS = Limits(seconds=0.5, memory_mb=512, max_timeouts=1 << 30)
_TRIED_FIRST = 2  # tests of each problem, before the others
_MAX_CHARS = 100_000
_FURTHER = 30  # further inputs for each problem, at least
_ALIKE = 0.9  # more than this share of them gives the same value, if it is the same problem

Overlap = dict[str, str]


class Texts:
    """Word n-grams of benchmark problems; of a shorter text, the whole."""

    def __init__(self, problems: Sequence[Problem], size: int) -> None:
        self._sizes = {size}
        self._known: dict[str, Problem] = {}
        found = [(problem, self._grams_of(problem.text, size)) for problem in problems]
        seen = Counter(gram for _, grams in found for gram in set(grams))
        for problem, grams in found:
            # What many problems say ("Write a function to find the ...") is no overlap.
            telling = [gram for gram in grams if seen[gram] < _COMMON]
            self._known |= dict.fromkeys(telling, problem)

    def overlap(self, text: str) -> Overlap | None:
        """The benchmark problem that a text shares words with, and these words."""
        for size in self._sizes:
            for gram in _grams(text, size):
                if problem := self._known.get(gram):
                    return {
                        "benchmark": problem.benchmark,
                        "problem": problem.task_id,
                        "words": gram,
                    }
        return None

    def _grams_of(self, text: str, size: int) -> list[str]:
        if grams := _grams(text, size):
            return grams
        size = len(_words(text))
        if size < _FEWEST:
            return []
        self._sizes.add(size)
        return _grams(text, size)


def _words(text: str) -> list[str]:
    return [word for word in words(text) if word[0].isalnum()]


def _grams(text: str, size: int) -> list[str]:
    found = _words(text)
    return [" ".join(found[n : n + size]) for n in range(len(found) - size + 1)]


_FEWEST = 5  # words of a text that says what is asked for
_COMMON = 20  # problems that share words


class Tests:
    """Benchmark problems to be run against solutions."""

    __test__ = False  # not a test class of pytest

    def __init__(self, problems: Sequence[Problem]) -> None:
        self._by_shape: dict[tuple[str, ...], list[Problem]] = defaultdict(list)
        for problem in problems:
            if problem.entry_point and (shape := _shape(problem.tests, problem.entry_point)):
                self._by_shape[shape].append(problem)

    def __bool__(self) -> bool:
        return bool(self._by_shape)

    def solved(
        self, solutions: Sequence[str], tests: Sequence[str], name: str, sandbox: Sandbox, most: int
    ) -> Overlap | None:
        """The first benchmark problem that one of the solutions solves.

        Args:
            solutions: programs that define `name`; the `most` commonest are tried.
            tests: calls of `name` that its own problem has: they tell the kinds of its arguments.
        """
        counts = Counter(normalised(solution) for solution in solutions)
        programs = list({normalised(solution): solution for solution in solutions}.values())
        programs.sort(key=lambda program: -counts[normalised(program)])
        programs = [program for program in programs[:most] if _defines(program, name)]
        problems = self._of_shape(tests, name)
        if not programs or not problems:
            return None
        first = [
            _renamed(test, problem, name) for problem in problems for test in _telling(problem)
        ]
        sizes = [len(_telling(problem)) for problem in problems]
        for program, passed in zip(programs, _passed(programs, first, name, sandbox), strict=True):
            start = 0
            for problem, size in zip(problems, sizes, strict=True):
                if all(passed[start : start + size]):
                    rest = [_renamed(test, problem, name) for test in problem.tests]
                    if all(_passed([program], rest, name, sandbox)[0]) and _agrees(
                        program, name, problem, sandbox
                    ):
                        return _found(problem, program)
                start += size
        return None

    def _of_shape(self, tests: Sequence[str], name: str) -> list[Problem]:
        """Problems whose tests give arguments of these kinds; of unknown kinds, all."""
        shape = _shape(tests, name)
        return [
            problem
            for other, problems in self._by_shape.items()
            if shape is None or _fits(shape, other)
            for problem in problems
        ]


def _found(problem: Problem, program: str) -> Overlap:
    return {"benchmark": problem.benchmark, "problem": problem.task_id, "solution": program}


def _agrees(program: str, name: str, problem: Problem, sandbox: Sandbox) -> bool:
    """Whether a program returns what the benchmark's solution does, on nearly all further inputs.

    Not on all: they may lie where the problem says nothing. True where there is no such solution.
    """
    calls, known = further_calls(problem), problem.entry_point
    if not problem.reference or not known:
        return True
    theirs = _returned(problem.reference, calls, sandbox)
    mine = _returned(program, [call.replace(known, name, 1) for call in calls], sandbox)
    same = [one == other for one, other in zip(theirs, mine, strict=True) if one is not None]
    return not same or sum(same) > _ALIKE * len(same)


def further_calls(problem: Problem) -> list[str]:
    """Calls of a problem's function on other inputs than those of its tests.

    Small changes of these keep to what the problem allows; texts are also changed more boldly,
    since few letters tell few functions apart.
    """
    trees = [parsed(test) or ast.Module([], []) for test in problem.tests]
    calls = [
        ast.unparse(node)
        for tree in trees
        for node in ast.walk(tree)
        if problem.entry_point and is_call(node, problem.entry_point)
    ]
    calls = list(dict.fromkeys(calls))[:_FURTHER]
    each = -(-_FURTHER // max(1, len(calls)))
    found = [bold for call in calls for bold in _bold(call)]
    found += [mutated for call in calls for mutated in mutated_calls(call, each)]
    return [call for call in dict.fromkeys(found) if call not in calls]


def _bold(call: str) -> list[str]:
    """The call with every text in it twice, in capitals, between other words, and turned round."""
    changes: list[Callable[[str], str]] = [
        lambda text: 2 * text,
        lambda text: text.upper(),
        lambda text: f"Of {text}, 3!",
        lambda text: f"{text} {text[::-1]}",
    ]
    return [ast.unparse(_ChangedTexts(change).visit(ast.parse(call))) for change in changes]


class _ChangedTexts(ast.NodeTransformer):
    def __init__(self, change: Callable[[str], str]) -> None:
        self.change = change

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant(self.change(node.value)) if isinstance(node.value, str) else node


def _returned(program: str, calls: list[str], sandbox: Sandbox) -> list[str | None]:
    """What a program returns, floats to nine digits; None where it returns nothing comparable."""
    cells: list[Cell] = [{"calls": [call], "names": [], "foreign": []} for call in calls]
    replies = sandbox.run_all([program], cells)[0] if calls else []
    return [_value(reply) for reply in replies]


def _value(reply: Reply) -> str | None:
    try:
        (value,) = (reply.record or {})["values"]
        text = canonical(value)
    except (KeyError, TypeError, ValueError):
        return None
    return re.sub(r"\d+\.\d+(?:e-?\d+)?", lambda found: f"{float(found[0]):.9g}", text)


def _passed(programs: list[str], tests: list[str], name: str, sandbox: Sandbox) -> list[list[bool]]:
    row: Row = {"task_id": "", "entry_point": name, "solutions": programs, "tests": tests}
    outcomes = execute_problem(row, sandbox, _MAX_CHARS)["outcomes"]
    return [[outcome == "passed" for outcome in line] for line in outcomes]


def _telling(problem: Problem) -> list[str]:
    """The tests that fewest other functions pass: the longest."""
    return sorted(problem.tests, key=len, reverse=True)[:_TRIED_FIRST]


def _renamed(test: str, problem: Problem, name: str) -> str:
    """The test with the benchmark's function under another name."""
    tree = parsed(test)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Name) and node.id == problem.entry_point:
            node.id = name
    return ast.unparse(tree) if tree else test


def _defines(program: str, name: str) -> bool:
    tree = parsed(program)
    return any(
        isinstance(node, ast.FunctionDef) and node.name == name
        for node in (tree or ast.Module([], [])).body
    )


def _shape(tests: Sequence[str], name: str) -> tuple[str, ...] | None:
    """The kinds of arguments in the first call of `name` that has literal ones only."""
    for test in tests:
        for node in ast.walk(parsed(test) or ast.Module([], [])):
            if is_call(node, name) and not node.keywords:
                return tuple(map(_kind, node.args))
    return None


def _kind(node: ast.expr) -> str:
    if isinstance(node, ast.UnaryOp):
        return _kind(node.operand)
    if isinstance(node, ast.Constant) and node.value is not None:
        return "text" if isinstance(node.value, str | bytes) else "number"
    if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.ListComp):
        return "items"
    return "mapping" if isinstance(node, ast.Dict) else "any"


def _fits(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether a function of arguments like `one` can be called with those like `other`."""
    return len(one) == len(other) and all(
        a == b or "any" in (a, b) for a, b in zip(one, other, strict=True)
    )
