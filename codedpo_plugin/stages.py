"""The stages of the method, in order: their names, folders, versions, and what each reads.

    seeds -> problems -> generate -> candidates                candidate synthesis
    candidates -> execute -> probe -> rank -> time -> pairs    shard by shard, rows to rows
    pairs -> dataset                                           and the report

A stage of the second group is a generator `stage(rows, recipe)` that yields one row per input row,
which holds the columns of all stages that it reads. To add one, write such a function and a schema,
and name both here. This module imports no stage: their modules load when a stage is run.
"""

import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stage:
    """One step of the method."""

    name: str
    """Of its command, its progress bar and its state files."""
    folder: str
    """Where its output lies in a run folder."""
    function: str
    """`module:function`; see `load`."""
    schema: str = ""
    """`module:name` of the schema of its shards, or of a function from the recipe to it."""
    file: str = ""
    """JSONL file in its folder, for a stage that does not write shards."""
    reads: tuple["Stage", ...] = ()
    """Stages whose output it reads."""
    sections: tuple[str, ...] = ()
    """Recipe sections that its output depends on."""
    measures_time: bool = False
    """Whether each of its workers needs a core to itself."""
    version: int = 1
    """Raised when the same input gives different output: finished output is then made again."""

    def load(self) -> Any:
        """The function that does the work."""
        return pkgutil.resolve_name(self.function)

    def path(self, run: Path) -> Path:
        """Its file in a run folder."""
        return run / self.folder / self.file


SEEDS = Stage(
    name="seeds",
    folder="seeds",
    function="codedpo_plugin.synthesis.seeds:run",
    file="seeds.jsonl",
    sections=("seeds",),
)
PROBLEMS = Stage(
    name="problems",
    folder="problems",
    function="codedpo_plugin.synthesis.problems:run",
    file="problems.jsonl",
    reads=(SEEDS,),
    sections=("problems", "sampling"),
)
GENERATE = Stage(
    name="generate",
    folder="generated",
    function="codedpo_plugin.synthesis.generate:run",
    file="candidates.jsonl",
    reads=(PROBLEMS,),
    sections=("generate", "decontaminate", "sampling", "shard_size"),
    version=2,
)
SYNTHESIS = {stage.name: stage for stage in (SEEDS, PROBLEMS, GENERATE)}
"""Stages that make candidates, each in one piece: `run(recipe, console)`."""

CANDIDATES = Stage(
    name="candidates",
    folder="candidates",
    function="codedpo_plugin.run_folder.candidates:ingest",
    schema="codedpo_plugin.run_folder.candidates:SCHEMA",
    reads=(GENERATE,),
    version=2,
)
EXECUTE = Stage(
    name="execute",
    folder="executions",
    function="codedpo_plugin.execution.execute:execute",
    schema="codedpo_plugin.execution.execute:schema",
    reads=(CANDIDATES,),
    sections=("execute",),
)
PROBE = Stage(
    name="probe",
    folder="probes",
    function="codedpo_plugin.execution.probe:probe",
    schema="codedpo_plugin.execution.probe:SCHEMA",
    reads=(CANDIDATES, EXECUTE),
    sections=("execute", "probe"),
)
RANK = Stage(
    name="rank",
    folder="scores",
    function="codedpo_plugin.ranking.rank:score",
    schema="codedpo_plugin.ranking.rank:schema",
    reads=(EXECUTE, PROBE),
    sections=("score",),
)
TIME = Stage(
    name="time",
    folder="timings",
    function="codedpo_plugin.timing.time_solutions:time_solutions",
    schema="codedpo_plugin.timing.time_solutions:SCHEMA",
    reads=(CANDIDATES, EXECUTE, PROBE, RANK),
    sections=("timing", "pairs"),
    measures_time=True,
    version=3,
)
PAIRS = Stage(
    name="pairs",
    folder="pairs",
    function="codedpo_plugin.pairing.pairs:select_pairs",
    schema="codedpo_plugin.pairing.pairs:SCHEMA",
    reads=(CANDIDATES, EXECUTE, PROBE, RANK, TIME),
    sections=("pairs",),
)
STAGES = {stage.name: stage for stage in (EXECUTE, PROBE, RANK, TIME, PAIRS)}
"""Stages that work shard by shard: `stage(rows, recipe)`."""
ROW_STAGES = (CANDIDATES, *STAGES.values())
"""All stages whose shards hold one row per problem."""

DATASET = Stage(
    name="dataset",
    folder="dataset",
    function="codedpo_plugin.dataset.export:export",
    reads=(CANDIDATES, PAIRS),
    sections=("export",),
)
