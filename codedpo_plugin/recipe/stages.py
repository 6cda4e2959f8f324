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
    """Timeouts after which a solution's remaining tests are skipped, as `not_run`; so are those
    left after ten times `seconds`."""
    max_tests: int = Field(500, ge=1)
    """Tests of a problem beyond this number are dropped, and counted in the report."""
    max_chars: int = Field(100_000, ge=1)
    """Solutions and tests longer than this are not run."""
    require: list[str] = []
    """Layers or tested properties of the sandbox (see `codedpo doctor`), such as `network` and
    `filesystem`, without which the build refuses to start."""


class Probe(Section):
    """Mutated inputs, made from those of the tests, on which solutions can agree or differ."""

    per_test: int = Field(2, ge=0)
    """Mutated inputs per test; 0 for none."""
    most: int = Field(100, ge=0)
    """Mutated inputs per problem, at most."""


class Score(Section):
    """How solutions and tests are ranked."""

    rankers: dict[str, dict[str, Any]] = Field(default={"agreement": {}}, min_length=1)
    """Ranker name -> its parameters. All scores are stored; `pairs.ranker` selects the pairs."""

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
    """Every solution runs once per round, in random order. Rounds are added five at a time until it
    is clear whether the slowest is slower than the fastest by `pairs.min_speed_ratio`. A solution
    that is slower by four times that in each of the first three rounds is not run again."""
    enlarge: bool = True
    """Repeat list, tuple and string arguments 20 times, if all solutions still agree on the value:
    the tests' own inputs are often too small to tell algorithms apart."""
    max_solutions: int = Field(32, ge=2)
    """Distinct solutions timed per problem: the best-ranked ones."""
    seconds: float = Field(20.0, gt=0)
    """CPU seconds for timing one problem."""


class Calibration(Section):
    """Probability that a pair is right, from the margin of its evidence (see `pairing.confidence`):
    P(right) = 1 / (1 + exp(-(a + b * margin))).

    The defaults were fitted to CodeGen-16B on HumanEval and three newer models on MBPP together
    (docs/pairs.md); `codedpo rank-eval` fits them to your own problems with ground truth.
    """

    intercept: float = -1.8
    """a"""
    slope: float = Field(3.7, gt=0)
    """b"""

    def probability(self, margin: float) -> float:
        """That a pair with this margin is right: chosen right and rejected wrong."""
        return 1 / (1 + math.exp(-max(min(self.intercept + self.slope * margin, 50.0), -50.0)))


class Pairs(Section):
    """Which solutions become chosen and rejected."""

    ranker: str | None = None
    """The ranker in `score.rankers` that selects the pairs; by default the first one there."""
    correctness: bool = True
    """Emit correctness pairs: a right and a wrong solution (paper, section 3.3)."""
    selection: Literal["near_miss", "worst"] = "near_miss"
    """Which solution is rejected: a hard negative, which passes some tests, or, as in the paper,
    the worst."""
    per_problem: int = Field(3, ge=1)
    """Maximum number of correctness pairs per problem; `near_miss` only. The rejected solutions of
    two pairs differ in behaviour."""
    min_confidence: float = Field(0.5, ge=0, le=1)
    """Pairs with a lower probability of being right are left out."""
    target_precision: float | None = Field(None, gt=0, lt=1)
    """Leave out the least confident pairs until this share of the rest is expected to be right."""
    calibration: Calibration = Calibration()
    efficiency: bool = True
    """Emit efficiency pairs: fast against slow on the credible tests (paper, section 3.4)."""
    ties: Literal["first", "shortest", "random"] = "first"
    """Which of several solutions tied at the top (or bottom) is taken; the paper does not specify
    it. Samples come in random order, so `first` is unbiased; `shortest` teaches brevity."""
    min_margin: float = Field(0.0, ge=0, lt=1)
    """(best - worst) / best score must exceed this for a correctness pair. `worst` only: this ratio
    says little about whether a pair is right."""
    min_credible_tests: int = Field(1, ge=1)
    """Problems whose best solution passes fewer tests than this give no pair."""
    min_speed_ratio: float = Field(1.1, ge=1)
    """Minimum of seconds(rejected) / seconds(chosen) for an efficiency pair, at two standard errors
    below the measured value."""


class Export(Section):
    """How the preference dataset is written."""

    format: Literal["conversational", "standard"] = "conversational"
    """Message lists (TRL's chat form) or plain strings."""
    text: Literal["auto", "code", "fenced", "response"] = "auto"
    """What chosen and rejected hold: the program, the program in a ```python fence, or the model's
    own response. `auto`: the response if candidates have one, else fenced code in conversational
    and bare code in standard format."""
    test_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of problems in the test split; the split of a problem depends on `task_id` and
    `seed`."""
    seed: int = 0
    push_to_hub: str | None = None
    """Dataset repository to push to, `owner/name`; nothing is pushed by default."""
    private: bool = True
    """Whether a repository made by `push_to_hub` is private."""
