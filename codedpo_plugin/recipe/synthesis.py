"""Recipe sections of candidate synthesis: models, seeds, problems, sampling, decontamination."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from codedpo_plugin.recipe.section import Section, as_list


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

    folders: Annotated[list[Path], BeforeValidator(as_list)] = []
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

    benchmarks: Annotated[list[str], BeforeValidator(as_list)] = []
    """Files, or `humaneval`, `mbpp`, `ds1000`, `livecodebench` (these from the hub)."""
    ngram: int = Field(10, ge=3)
    """So many words in a row that a problem shares with a benchmark's are too many."""
    execute: bool = True
    """Also drop problems with a solution that passes a benchmark problem's tests."""
    solutions: int = Field(8, ge=1)
    """Distinct solutions of each problem that are tried, the commonest first."""
