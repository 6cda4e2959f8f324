"""Recipes: what a build does, as YAML checked before anything runs.

The smallest recipe names its input and its output; every other key has the default given here::

    candidates: candidates.jsonl.gz
    output: runs/mine
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)

from codedpo_plugin.command_line import parse_override
from codedpo_plugin.errors import InputError, did_you_mean
from codedpo_plugin.ranking import rankers
from codedpo_plugin.run_folder.files import is_local, location
from codedpo_plugin.stages import GENERATE


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | Path) else value


Location = Annotated[
    Path,
    PlainValidator(location, json_schema_input_type=str),
    PlainSerializer(str, when_used="json"),
]
"""A path, or an address in an object store."""


def _as_file(value: Any) -> Any:
    return {"file": value} if isinstance(value, str | Path) else value


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


class Prices(Section):
    """What a model costs, per million tokens, in any one currency."""

    prompt: float = Field(0.0, ge=0)
    completion: float = Field(0.0, ge=0)


class Sampling(Section):
    """Which model writes, and how it is asked."""

    backend: Literal["openai", "transformers"] = "openai"
    """`openai`: any server of that protocol (vLLM, SGLang, TGI, `transformers serve`, a hosted
    API). `transformers`: in this process, for one small GPU or a CPU."""
    model: str = Field(min_length=1)
    """The name that the server knows it by; for `transformers`, a local folder or a hub id."""
    base_url: str = "http://localhost:8000/v1"
    api_key_env: str | None = None
    """Environment variable that holds the key; a server of one's own mostly needs none."""
    temperature: float = Field(0.8, ge=0)
    """0 is greedy."""
    top_p: float = Field(0.95, gt=0, le=1)
    max_tokens: int = Field(1024, ge=1)
    stop: list[str] = []
    """Texts that end a sample."""
    seed: int | None = None
    """Sent to the server where it is set; sampling in process is reproducible in any case."""
    extra_body: dict[str, Any] = {}
    """Further fields of each request, such as `top_k`."""
    choices: int = Field(8, ge=1)
    """Most samples asked for in one request."""
    max_concurrency: int = Field(64, ge=1)
    """Requests at a time, at most; fewer where more do not make the server any faster."""
    timeout: float = Field(600.0, gt=0)
    """Seconds that one request may take."""
    retries: int = Field(6, ge=0)
    """Further attempts at a request that failed by a fault of server or network."""
    prices: Prices = Prices()
    budget: float | None = Field(None, gt=0)
    """Sampling stops before what it has cost, over all runs on the same cache, exceeds this."""
    batch: int = Field(64, ge=1)
    """Sequences at a time (`transformers`); halved where the memory does not suffice."""

    @field_validator("base_url")
    @classmethod
    def _without_secrets(cls, value: str) -> str:
        if "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError("holds a password; name an environment variable in `api_key_env`")
        return value

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.budget and not (self.prices.prompt or self.prices.completion):
            raise ValueError("`budget` needs `prices`, per million tokens")
        return self


class Dataset(Section):
    """A dataset of source files, one per row: a local folder or a hub id (streamed)."""

    path: str
    name: str | None = None
    """Its configuration."""
    data_dir: str | None = None
    split: str = "train"
    text: str = "content"
    """The column that holds the source."""
    license: str | None = "license"
    """The column that names the licence, or a list of them."""


class Seeds(Section):
    """Which functions problems are made from."""

    folders: Annotated[list[Path], BeforeValidator(_as_list)] = []
    """Folders of Python source, git checkouts among them."""
    datasets: list[Dataset] = []
    allow: list[str] = []
    """Licences (SPDX identifiers, in any case) that are taken; all, known or not, if empty."""
    min_lines: int = Field(4, ge=1)
    max_lines: int = Field(60, ge=1)
    """Lines of a function, without blank ones and docstring."""
    max_file_kb: int = Field(1024, ge=1)
    near_duplicates: float = Field(0.7, ge=0.2, le=0.95)
    """Functions (and problems) whose word 5-grams have this Jaccard similarity count as one."""
    limit: int | None = Field(None, ge=1)
    """Stop after so many seeds."""


class Problems(Section):
    """How problems are made from seeds; or where they are, and then nothing is made."""

    file: Path | None = None
    """JSONL with `task_id`, `prompt`, and `entry_point` where there is one."""
    per_seed: int = Field(1, ge=1)
    """Problems asked for, from each seed's concepts."""
    concepts: str = "concepts-v1"
    problem: str = "problem-v1"
    """Prompt templates: names of those in the package, or paths."""
    sampling: Sampling | None = None
    """The model that writes problems, if another than the recipe's."""


class Solutions(Section):
    """What is asked for in one role."""

    n: int = Field(15, ge=1)
    """Samples of each problem."""
    template: str | None = None
    """Prompt template: a name of one in the package, or a path; the default depends on `style`."""
    sampling: Sampling | None = None
    """The model, if another than the recipe's."""


class Tests(Solutions):
    """What is asked for as tests."""

    n: int = Field(5, ge=1)
    """Samples of each problem; each holds about ten tests."""
    outputs: Literal["model", "vote"] = "model"
    """Who says what the calls return: the model that wrote them, or most solutions."""


class Generate(Section):
    """How candidates are sampled."""

    style: Literal["chat", "completion"] = "chat"
    """`completion` for base models."""
    solutions: Solutions = Solutions()
    tests: Tests = Tests()
    more: Path | None = None
    """JSONL with `task_id`, `solutions`, `tests`: for these problems, responses in all instead of
    `n` where that is more. A build writes such a file: `RUN/more.jsonl`."""


class Decontaminate(Section):
    """Which problems are dropped since a benchmark has them."""

    benchmarks: Annotated[list[str], BeforeValidator(_as_list)] = []
    """Files, or `humaneval`, `mbpp`, `ds1000`, `livecodebench` (these from the hub)."""
    ngram: int = Field(10, ge=3)
    """So many words in a row that a problem shares with a benchmark's are too many."""
    execute: bool = True
    """Also drop problems with a solution that passes a benchmark problem's tests."""
    solutions: int = Field(8, ge=1)
    """Distinct solutions of each problem that are tried, the commonest first."""


class Slurm(Section):
    """`codedpo build RECIPE --executor slurm`: the stages as array jobs."""

    partition: str
    time: str = "24:00:00"
    """Limit of one task; what it has not done by then, the next run of the same command does."""
    parts: int = Field(16, ge=1)
    """Tasks that the shards are dealt to."""
    cpus: int = Field(8, ge=1)
    """Cores, and so worker processes, of one task."""
    memory_gb: int = Field(2, ge=1)
    """Of one core: `execute.memory_mb` and what a worker itself needs."""
    at_once: int = -1
    """Tasks at a time; -1 for no limit."""
    qos: str | None = None
    setup: str | None = None
    """Shell commands that make `codedpo` available on a node; by default this environment's."""
    options: dict[str, str] = {}
    """Further options of `sbatch`, such as `account: mine`."""
    timing: dict[str, str] = {}
    """The same for the job that times solutions, such as `constraint: icelake`."""


class Ray(Section):
    """`codedpo build RECIPE --executor ray`: a Ray task for each shard."""

    address: str = "auto"
    """Of a running cluster; `auto` for the one of this machine, `local` to start one here."""


class Recipe(Section):
    """A whole build."""

    candidates: Annotated[list[Location], BeforeValidator(_as_list)] = []
    """JSONL (also .gz) or parquet files, one row per problem. Or else, to have candidates made:
    `seeds` or `problems`, and `sampling`."""
    output: Location
    """The run folder. It and `candidates` may lie in an object store: `s3://bucket/runs/mine`."""
    seeds: Seeds | None = None
    problems: Annotated[Problems, BeforeValidator(_as_file)] = Problems()
    """A path is short for `{file: path}`."""
    sampling: Sampling | None = None
    generate: Generate = Generate()
    decontaminate: Decontaminate = Decontaminate()
    shard_size: int = Field(8, ge=1)
    """Problems per shard: what is lost at most, per worker, when a build is killed."""
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
        named = [name for name, there in starts.items() if there]
        if len(named) != 1:
            there = f"{' and '.join(named)} are there" if named else "none is there"
            raise ValueError(f"one of `candidates`, `problems` and `seeds` is required; {there}")
        if not self.candidates and not is_local(self.output):
            raise ValueError("`output` must be a local folder where candidates are made")
        models = [self.generate.solutions.sampling, self.generate.tests.sampling]
        models += [self.problems.sampling] if self.seeds else []
        if not self.candidates and self.sampling is None and None in models:
            raise ValueError("`sampling` is required: it names the model that writes candidates")
        return self

    @property
    def generates(self) -> bool:
        """Whether candidates are made here, from seeds or problems."""
        return not self.candidates

    @property
    def candidate_files(self) -> list[Path]:
        """Where candidates are: the user's files, or what `codedpo generate` writes."""
        return self.candidates or [GENERATE.path(self.output)]

    @property
    def ranker(self) -> str:
        """Name of the ranker that decides the pairs."""
        return self.pairs.ranker or next(iter(self.score.rankers))


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Read a YAML recipe, apply `key.sub=value` overrides, and check all of it.

    Raises:
        InputError: naming the file, the line and key, and the nearest valid key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such recipe") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    try:
        data = yaml.safe_load(text) or {}
        lines = _key_lines(yaml.compose(text))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: a recipe is a mapping of keys, this is a {type(data).__name__}")
    for override in overrides or []:
        _apply(data, override)
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        raise InputError(_explain(path, error, lines)) from None
    if recipe.ranker not in recipe.score.rankers:
        known = ", ".join(recipe.score.rankers)
        raise InputError(
            f"{path}: pairs.ranker: {recipe.ranker!r} is not in score.rankers ({known})"
        )
    return recipe


def _apply(data: dict[str, Any], override: str) -> None:
    """Set one dotted key from `key.sub=value`."""
    (*parents, last), value = parse_override(override)
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise InputError(f"--set {override}: {parent} is not a section")
    data[last] = value


def _key_lines(node: yaml.Node | None, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    """Line (from 1) of every key in a composed YAML document."""
    lines: dict[tuple[str, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = (*prefix, str(key.value))
            lines[name] = key.start_mark.line + 1
            lines |= _key_lines(value, name)
    return lines


def _explain(path: Path, error: ValidationError, lines: dict[tuple[str, ...], int]) -> str:
    """One line per problem: file, line, key, what is wrong, and the nearest valid key."""
    messages = []
    for problem in error.errors():
        where = tuple(str(part) for part in problem["loc"])
        line = next(
            (lines[where[:n]] for n in range(len(where), 0, -1) if where[:n] in lines), None
        )
        place = f"{path}, line {line}" if line else str(path)
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown key{_nearest(where)}"
        elif problem["type"] == "missing":
            message = "this key is required"
        messages.append(": ".join(filter(None, (place, ".".join(where), message))))
    return "\n".join(messages)


def _nearest(where: tuple[str, ...]) -> str:
    """`; did you mean ...?` for an unknown key."""
    section: Any = Recipe
    for part in where[:-1]:
        section = section if part.isdigit() else _section_of(section.model_fields[part].annotation)
    valid = list(section.model_fields)
    return did_you_mean(where[-1], valid) or f"; valid keys: {', '.join(valid)}"


def _section_of(annotation: Any) -> Any:
    """The section in `Section`, `Section | None` or `list[Section]`."""
    inner = (_section_of(part) for part in get_args(annotation))
    return annotation if isinstance(annotation, type(Section)) else next(filter(None, inner), None)
