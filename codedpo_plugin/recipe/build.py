"""The whole recipe of a build: its sections and the keys beside them."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from codedpo_plugin.recipe.executors import Ray, Slurm
from codedpo_plugin.recipe.section import Location, Section, as_list
from codedpo_plugin.recipe.stages import Execute, Export, Pairs, Probe, Score, Timing
from codedpo_plugin.recipe.synthesis import Decontaminate, Generate, Problems, Sampling, Seeds
from codedpo_plugin.run_folder.files import is_local
from codedpo_plugin.stages import GENERATE


def _as_file(value: Any) -> Any:
    return {"file": value} if isinstance(value, str | Path) else value


class Recipe(Section):
    """A whole build."""

    candidates: Annotated[list[Location], BeforeValidator(as_list)] = []
    """JSONL (also .gz) or parquet files, one row per problem. To have candidates made instead:
    `seeds` or `problems`, and `sampling`."""
    output: Location
    """The run folder. It and `candidates` may be in an object store: `s3://bucket/runs/mine`."""
    seeds: Seeds | None = None
    problems: Annotated[Problems, BeforeValidator(_as_file)] = Problems()
    """A path is short for `{file: path}`."""
    sampling: Sampling | None = None
    generate: Generate = Generate()
    decontaminate: Decontaminate = Decontaminate()
    shard_size: int = Field(8, ge=1)
    """Problems per shard: the most that each worker can lose when a build is killed."""
    workers: int | None = Field(None, ge=1)
    """Worker processes; by default one per core."""
    execute: Execute = Execute()
    probe: Probe = Probe()
    score: Score = Score()
    timing: Timing = Timing()
    pairs: Pairs = Pairs()
    export: Export = Export()
    slurm: Slurm | None = None
    ray: Ray = Ray()

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        starts = {
            "candidates": bool(self.candidates),
            "problems": self.problems.file is not None,
            "seeds": self.seeds is not None,
        }
        named = [name for name, given in starts.items() if given]
        if len(named) != 1:
            given = f"{' and '.join(named)} are given" if named else "none is given"
            raise ValueError(f"one of `candidates`, `problems` and `seeds` is required; {given}")
        if not self.candidates and not is_local(self.output):
            raise ValueError("`output` must be a local folder if candidates are made")
        models = [self.generate.solutions.sampling, self.generate.tests.sampling]
        models += [self.problems.sampling] if self.seeds else []
        if not self.candidates and self.sampling is None and None in models:
            raise ValueError("`sampling` is required: it names the model that writes candidates")
        return self

    @property
    def generates(self) -> bool:
        """Whether candidates are made from seeds or problems."""
        return not self.candidates

    @property
    def candidate_files(self) -> list[Path]:
        """The user's candidates, or the file that `codedpo generate` writes."""
        return self.candidates or [GENERATE.path(self.output)]

    @property
    def ranker(self) -> str:
        """Name of the ranker that selects the pairs."""
        return self.pairs.ranker or next(iter(self.score.rankers))
