"""Recipe sections of the stages that make a dataset from candidates."""

import math
from typing import Any, Literal

from pydantic import Field, field_validator

from codedpo_plugin.ranking import rankers
from codedpo_plugin.recipe.section import Section


class Execute(Section):
    """How every solution is run against every test."""

    seconds: float = Field(1.0, gt=0, le=600)
    """CPU seconds of one solution on one test (a tenth at first; all of it for solutions that could
    still pass the most tests). Waiting is limited too, see `sandbox.protocol.wall_limit`."""
    memory_mb: int = Field(1024, ge=64)
    """Address space of one test run, in MiB."""
    strikes: int = Field(2, ge=1)
    """Time-outs after which the rest of a solution's tests are left, as `not_run`; so is what a
    solution has not done in ten times `seconds`."""
    max_tests: int = Field(500, ge=1)
    """Tests beyond this number are cut from a problem, and counted in the report."""
    max_chars: int = Field(100_000, ge=1)
    """Solutions and tests longer than this are not run."""
    require: list[str] = []
    """Layers or tried properties of the sandbox (see `codedpo doctor`), such as `network` and
    `filesystem`, without which the build refuses to start."""


class Probe(Section):
    """Further inputs, made from those of the tests, on which solutions can agree or differ."""

    per_test: int = Field(2, ge=0)
    """Inputs made from each test's; 0 for none."""
    most: int = Field(100, ge=0)
    """Inputs of one problem."""


class Score(Section):
    """How solutions and tests are ranked."""

    rankers: dict[str, dict[str, Any]] = Field(default={"agreement": {}}, min_length=1)
    """Ranker name -> its parameters. All are stored; `pairs.ranker` is the one that decides."""

    @field_validator("rankers")
    @classmethod
    def _known(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, parameters in value.items():
            rankers.check_parameters(name, parameters)
        return value


class Timing(Section):
    """How the solutions that pass all credible tests are timed."""

    sample_seconds: float = Field(0.001, gt=0)
    """Calls are repeated until one sample takes at least this much CPU time."""
    min_rounds: int = Field(10, ge=3)
    max_rounds: int = Field(40, ge=3)
    """Every solution runs once a round, in random order; rounds go on, five at a time, until it is
    clear whether the slowest is slower than the fastest by `pairs.min_speed_ratio`. One that is
    slower by four times that in each of the first three rounds runs no more."""
    enlarge: bool = True
    """Repeat list, tuple and string arguments 20 times where all solutions still agree on the
    value: tests' own inputs are often too small to tell algorithms apart."""
    max_solutions: int = Field(32, ge=2)
    """Distinct solutions timed for one problem: the best-ranked ones."""
    seconds: float = Field(20.0, gt=0)
    """CPU seconds that timing one problem may take."""


class Calibration(Section):
    """How sure a lead (see `confidence`) makes a pair: P(right) = 1 / (1 + exp(-(a + b * lead))).

    The defaults were fitted to CodeGen-16B on HumanEval and three newer models on MBPP together
    (docs/pairs.md); `codedpo rank-eval` fits them to problems of your own whose truth is known.
    """

    intercept: float = -1.8
    """a"""
    slope: float = Field(3.7, gt=0)
    """b"""

    def probability(self, lead: float) -> float:
        """That a pair with this lead is right: chosen right and rejected wrong."""
        return 1 / (1 + math.exp(-max(min(self.intercept + self.slope * lead, 50.0), -50.0)))


class Pairs(Section):
    """Which solutions become chosen and rejected."""

    ranker: str | None = None
    """The ranker in `score.rankers` that decides; by default the first one there."""
    correctness: bool = True
    """Emit pairs of a right and a wrong solution (paper, section 3.3)."""
    selection: Literal["near_miss", "worst"] = "near_miss"
    """Which solution is rejected: one that comes close and surely fails, or, as in the paper, the
    worst."""
    per_problem: int = Field(3, ge=1)
    """Most correctness pairs of one problem; `near_miss` only. Rejected solutions of two pairs
    differ in behaviour."""
    min_confidence: float = Field(0.5, ge=0, le=1)
    """Pairs that are right with a lower probability than this are left out."""
    target_precision: float | None = Field(None, gt=0, lt=1)
    """Leave out the least sure pairs, until this share of the rest is expected to be right."""
    calibration: Calibration = Calibration()
    efficiency: bool = True
    """Emit fast-against-slow pairs on the credible tests (paper, section 3.4)."""
    ties: Literal["first", "shortest", "random"] = "first"
    """Which of several solutions tied at the top (or bottom) is taken. The paper does not say.
    Samples come in no order, so `first` favours nothing; `shortest` teaches brevity."""
    min_margin: float = Field(0.0, ge=0, lt=1)
    """Least (best - worst) / best score for a correctness pair; it must exceed this. `worst` only:
    margins say little of whether a pair is right."""
    min_credible_tests: int = Field(1, ge=1)
    """Problems whose best solution passes fewer tests than this give no pair."""
    min_speed_ratio: float = Field(1.1, ge=1)
    """Least seconds(rejected) / seconds(chosen) of an efficiency pair, even two standard errors
    lower than measured."""


class Export(Section):
    """How the preference dataset is written."""

    format: Literal["conversational", "standard"] = "conversational"
    """Message lists (TRL's chat form) or plain strings."""
    text: Literal["auto", "code", "fenced", "response"] = "auto"
    """What chosen and rejected hold: the program, the program in a ```python fence, or the model's
    own response. `auto`: the response where candidates have one, else fenced in conversational
    and bare code in standard form."""
    test_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of problems in the test split; a problem's split depends on `task_id` and `seed`."""
    seed: int = 0
    push_to_hub: str | None = None
    """Dataset repository to push to, `owner/name`; nothing is pushed by default."""
    private: bool = True
    """Whether a repository made by `push_to_hub` is private."""
