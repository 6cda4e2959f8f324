"""Decontamination: which problems repeat a benchmark's, by their words and by what solves them.

Shared n-grams find copies; running finds problems that were reworded or translated: a solution that
passes all tests of a benchmark's problem, with the function renamed, solves the same problem. A few
tests are little evidence, so where the benchmark has a reference solution, the two must also agree
on further inputs.
"""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from codedpo_plugin.execution.execute import execute_problem
from codedpo_plugin.parsing.input_mutation import mutated_calls
from codedpo_plugin.parsing.programs import normalised
from codedpo_plugin.parsing.syntax import is_call, parsed
from codedpo_plugin.run_folder.shards import Row
from codedpo_plugin.sandbox.client import Cell, Limits, Reply, Sandbox
from codedpo_plugin.sandbox.encoding import canonical
from codedpo_plugin.synthesis.benchmark_problems import Problem
from codedpo_plugin.synthesis.near_duplicates import words

# A program runs hundreds of tests that are not meant for it, and may hang on some of them.
LIMITS = Limits(seconds=0.5, memory_mb=512, max_timeouts=1 << 30)
_TRIED_FIRST = 2  # tests of each problem, before all others
_MAX_CHARS = 100_000
_FURTHER = 30  # further inputs for each problem, at least
_AGREEMENT = 0.9  # programs that agree on more than this share solve the same problem

Overlap = dict[str, str]


class Texts:
    """Word n-grams of benchmark problems; a shorter text counts as one n-gram."""

    def __init__(self, problems: Sequence[Problem], size: int) -> None:
        self._sizes = {size}
        self._known: dict[str, Problem] = {}
        found = [(problem, self._grams_of(problem.text, size)) for problem in problems]
        seen = Counter(gram for _, grams in found for gram in set(grams))
        for problem, grams in found:
            # Phrases of many problems ("Write a function to find the ...") are no overlap.
            distinctive = [gram for gram in grams if seen[gram] < _COMMON]
            self._known |= dict.fromkeys(distinctive, problem)

    def overlap(self, text: str) -> Overlap | None:
        """The benchmark problem that a text shares an n-gram with, and the n-gram."""
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


_FEWEST = 5  # words in a text that states a problem
_COMMON = 20  # problems that share an n-gram: it is a common phrase


class Tests:
    """Tests of benchmark problems, to run solutions on."""

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
            solutions: programs that define `name`.
            tests: tests of its own problem; their calls show the kinds of its arguments.
            name: the function.
            sandbox: runs the programs.
            most: number of programs to try, the most frequent first.
        """
        programs = [one for one in _most_frequent(solutions, most) if _defines(one, name)]
        problems = self._of_shape(tests, name)
        if not programs or not problems:
            return None
        first = [(problem, test) for problem in problems for test in _hardest(problem)]
        cells = [_renamed(test, problem, name) for problem, test in first]
        for program, passed in zip(programs, _passed(programs, cells, name, sandbox), strict=True):
            failed = {id(problem) for (problem, _), ok in zip(first, passed, strict=True) if not ok}
            for problem in problems:
                if id(problem) not in failed and _solves(program, name, problem, sandbox):
                    return {
                        "benchmark": problem.benchmark,
                        "problem": problem.task_id,
                        "solution": program,
                    }
        return None

    def _of_shape(self, tests: Sequence[str], name: str) -> list[Problem]:
        """Problems whose tests pass arguments of these kinds; all, if the kinds are unknown."""
        shape = _shape(tests, name)
        return [
            problem
            for other, problems in self._by_shape.items()
            if shape is None or _fits(shape, other)
            for problem in problems
        ]


def _most_frequent(solutions: Sequence[str], most: int) -> list[str]:
    """At most `most` different programs, the most frequent first."""
    counts = Counter(normalised(solution) for solution in solutions)
    programs = {normalised(solution): solution for solution in solutions}
    ordered = sorted(programs, key=lambda text: -counts[text])
    return [programs[text] for text in ordered[:most]]


def _solves(program: str, name: str, problem: Problem, sandbox: Sandbox) -> bool:
    """Whether a program passes all tests of a problem, and agrees with its reference solution."""
    tests = [_renamed(test, problem, name) for test in problem.tests]
    passed = all(_passed([program], tests, name, sandbox)[0])
    return passed and _agrees(program, name, problem, sandbox)


def _agrees(program: str, name: str, problem: Problem, sandbox: Sandbox) -> bool:
    """Whether a program returns what the reference solution does, on nearly all further inputs.

    Not on all: the problem may not define some of them. True if there is no reference solution.
    """
    calls, known = further_calls(problem), problem.entry_point
    if not problem.reference or not known:
        return True
    theirs = _returned(problem.reference, calls, sandbox)
    mine = _returned(program, [call.replace(known, name, 1) for call in calls], sandbox)
    same = [one == other for one, other in zip(theirs, mine, strict=True) if one is not None]
    return not same or sum(same) > _AGREEMENT * len(same)


def further_calls(problem: Problem) -> list[str]:
    """Calls of a problem's function on inputs that its tests do not have.

    Small mutations stay within what the problem allows. Strings are also changed more strongly,
    since short ones distinguish few functions.
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
    found = [changed for call in calls for changed in _with_changed_strings(call)]
    found += [mutated for call in calls for mutated in mutated_calls(call, each)]
    return [call for call in dict.fromkeys(found) if call not in calls]


def _with_changed_strings(call: str) -> list[str]:
    """The call with all its strings doubled, in capitals, inside other words, and mirrored."""
    changes: list[Callable[[str], str]] = [
        lambda text: 2 * text,
        lambda text: text.upper(),
        lambda text: f"Of {text}, 3!",
        lambda text: f"{text} {text[::-1]}",
    ]
    return [ast.unparse(_ChangedStrings(change).visit(ast.parse(call))) for change in changes]


class _ChangedStrings(ast.NodeTransformer):
    def __init__(self, change: Callable[[str], str]) -> None:
        self.change = change

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant(self.change(node.value)) if isinstance(node.value, str) else node


def _returned(program: str, calls: list[str], sandbox: Sandbox) -> list[str | None]:
    """What a program returns, floats to nine digits; None if that cannot be compared."""
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


def _hardest(problem: Problem) -> list[str]:
    """The longest tests, which other functions are least likely to pass."""
    return sorted(problem.tests, key=len, reverse=True)[:_TRIED_FIRST]


def _renamed(test: str, problem: Problem, name: str) -> str:
    """The test with the benchmark's function renamed."""
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
    """The kinds of arguments in the first call of `name` without keyword arguments."""
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
    """Whether a function that takes arguments like `one` can be called with those of `other`."""
    return len(one) == len(other) and all(
        a == b or "any" in (a, b) for a, b in zip(one, other, strict=True)
    )
