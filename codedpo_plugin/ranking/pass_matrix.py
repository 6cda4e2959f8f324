"""The pass matrix of one problem: what its solutions did on its tests, as numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from codedpo_plugin.run_folder.shards import Row

NO_VALUE, NOT_RUN, REFUSED = -1, -2, -3


@dataclass(frozen=True)
class PassMatrix:
    """The results of executing one problem's solutions."""

    task_id: str
    passes: np.ndarray
    """bool [N, M]: solution i passes test j."""
    outputs: np.ndarray
    """int [N, C], C >= M: what the solutions return on the inputs of the tests, then on mutated
    inputs. Within a column, equal numbers mean the same value. NO_VALUE: it raised or timed out,
    or its value cannot be compared. REFUSED: it raised a ValueError, as programs do for invalid
    inputs. NOT_RUN: nothing is known."""
    programs: np.ndarray
    """int [N]: equal numbers mean the same program, except for comments and layout."""

    def __post_init__(self) -> None:
        if self.passes.dtype != bool or self.passes.ndim != 2:
            raise ValueError(f"{self.task_id}: passes must be a bool matrix [solutions, tests]")
        (n, m), (rows, columns) = self.passes.shape, self.outputs.shape
        if rows != n or columns < m or self.programs.shape != (n,):
            shapes = f"{self.passes.shape}, {self.outputs.shape} and {self.programs.shape}"
            raise ValueError(
                f"{self.task_id}: passes, outputs and programs differ in shape: {shapes}"
            )


def executed(row: "Row") -> list[int]:
    """Positions of the solutions of which at least one cell was run."""
    return [i for i, line in enumerate(row["outcomes"]) if set(line) != {"not_run"}]


def pass_flags(row: "Row") -> np.ndarray:
    """bool [N, M]: which solution passes which test."""
    return np.array([[outcome == "passed" for outcome in line] for line in row["outcomes"]])


def pass_matrix(row: "Row") -> PassMatrix:
    """The pass matrix of one row with the columns of executions and probes."""
    passed = pass_flags(row)
    columns = [_numbers(cells) for cells in zip(*map(_cells, _solutions(row)), strict=True)]
    outputs = np.array(columns, dtype=int).reshape(-1, len(passed)).T
    return PassMatrix(row["task_id"], passed, outputs, np.array(row["programs"], dtype=int))


_Cell = tuple[str | None, str | None, bool]  # value, error, ran


def _solutions(row: "Row") -> Iterator[tuple[list[Any], ...]]:
    """The columns of each solution."""
    names = ("returned", "errors", "outcomes", "probed", "probe_errors")
    return zip(*(row[name] for name in names), strict=True)


def _cells(solution: tuple[list[Any], ...]) -> list[_Cell]:
    """The cells of one solution: on the tests, then on the mutated inputs."""
    returned, errors, outcomes, probed, probe_errors = solution
    ran = [outcome not in ("not_run", "flaky") for outcome in outcomes]
    known = [bool(value or error) for value, error in zip(probed, probe_errors, strict=True)]
    return [
        *zip(returned, errors, ran, strict=True),
        *zip(probed, probe_errors, known, strict=True),
    ]


def _numbers(cells: tuple[_Cell, ...]) -> list[int]:
    """One column of `PassMatrix.outputs`."""
    numbers: dict[str, int] = {}
    found = []
    for value, error, ran in cells:
        if value is not None:
            found.append(numbers.setdefault(value, len(numbers)))
        elif ran:
            refused = error is not None and error.partition(":")[0] == "ValueError"
            found.append(REFUSED if refused else NO_VALUE)
        else:
            found.append(NOT_RUN)
    return found
