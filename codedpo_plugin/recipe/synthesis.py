"""Recipe sections of candidate synthesis: models, seeds, problems, sampling, decontamination."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from codedpo_plugin.recipe.section import Section, as_list


class Prices(Section):
    """Price of a model per million tokens, in any one currency."""

    prompt: float = Field(0.0, ge=0)
    completion: float = Field(0.0, ge=0)


class Sampling(Section):
    """Which model is sampled, and how."""

    backend: Literal["openai", "transformers"] = "openai"
    """`openai`: any server with that protocol (vLLM, SGLang, TGI, `transformers serve`, a hosted
    API). `transformers`: in this process, for one small GPU or a CPU."""
    model: str = Field(min_length=1)
    """Its name on the server; for `transformers`, a local folder or a hub id."""
    base_url: str = "http://localhost:8000/v1"
    api_key_env: str | None = None
    """Environment variable that holds the key; a local server usually needs none."""
    temperature: float = Field(0.8, ge=0)
    """0 is greedy."""
    top_p: float = Field(0.95, gt=0, le=1)
    max_tokens: int = Field(1024, ge=1)
    stop: list[str] = []
    """Stop sequences."""
    seed: int | None = None
    """Sent to the server if set; sampling in process is always reproducible."""
    extra_body: dict[str, Any] = {}
    """Further fields of each request, such as `top_k`; null leaves a field out."""
    choices: int = Field(8, ge=1)
    """Maximum number of samples per HTTP request, where a prompt is charged for each request (there
    is `prices.prompt` or `api_key_env`). Other servers get single ones: a request is answered when
    its slowest sample is complete."""
    max_concurrency: int = Field(256, ge=1)
    """Maximum number of samples in flight, however many there are per request; fewer if more do not
    increase the throughput."""
    timeout: float = Field(600.0, gt=0)
    """Seconds per request."""
    retries: int = Field(6, ge=0)
    """Further attempts at a request that failed because of the server or the network."""
    prices: Prices = Prices()
    budget: float | None = Field(None, gt=0)
    """Sampling stops before its cost, over all runs on the same cache, exceeds this."""
    batch: int = Field(64, ge=1)
    """Batch size in sequences (`transformers`); halved if memory runs out."""

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
    """The column with the licence, or a list of licences."""


class Seeds(Section):
    """Which functions problems are made from."""

    folders: Annotated[list[Path], BeforeValidator(as_list)] = []
    """Folders of Python source, git checkouts among them."""
    datasets: list[Dataset] = []
    allow: list[str] = []
    """Allowed licences (SPDX identifiers, case-insensitive); if empty, all, including unknown."""
    min_lines: int = Field(4, ge=1)
    max_lines: int = Field(60, ge=1)
    """Lines of a function, not counting blank lines and docstring."""
    max_file_kb: int = Field(1024, ge=1)
    near_duplicates: float = Field(0.7, ge=0.2, le=0.95)
    """Jaccard similarity of word 5-grams from which functions (and problems) are duplicates."""
    limit: int | None = Field(None, ge=1)
    """Maximum number of seeds."""


class Problems(Section):
    """How problems are made from seeds; or a file that has them already."""

    file: Path | None = None
    """JSONL with `task_id`, `prompt`, and optionally `entry_point`."""
    per_seed: int = Field(1, ge=1)
    """Problems requested per seed, from its concepts."""
    concepts: str = "concepts-v1"
    problem: str = "problem-v1"
    """Prompt templates: names of templates in the package, or paths."""
    sampling: Sampling | None = None
    """The model that writes problems, if not the recipe's."""


class Solutions(Section):
    """How solutions are sampled."""

    n: int = Field(15, ge=1)
    """Samples per problem."""
    template: str | None = None
    """Prompt template: a name in the package, or a path; the default depends on `style`."""
    prefill: str | None = None
    r"""The beginning of each answer, given to the model: "```python\nassert {entry_point}(", say.
    For vLLM, SGLang, `backend: transformers` and `style: completion`; a server that refuses it is
    noticed, and asked without."""
    sampling: Sampling | None = None
    """The model, if not the recipe's."""


class Tests(Solutions):
    """How tests are sampled."""

    n: int = Field(5, ge=1)
    """Samples per problem; each holds about ten tests."""
    outputs: Literal["model", "vote"] = "model"
    """Source of the expected outputs: the model that wrote the calls, or a majority of
    solutions."""


class Generate(Section):
    """How candidates are sampled."""

    style: Literal["chat", "completion"] = "chat"
    """`completion` for base models."""
    solutions: Solutions = Solutions()
    tests: Tests = Tests()
    more: Path | None = None
    """JSONL with `task_id`, `solutions`, `tests`: total samples for these problems, instead of `n`
    if that is fewer. A build writes such a file: `RUN/more.jsonl`."""


class Decontaminate(Section):
    """Which problems are dropped because a benchmark has them."""

    benchmarks: Annotated[list[str], BeforeValidator(as_list)] = []
    """Files, or `humaneval`, `mbpp`, `ds1000`, `livecodebench` (from the hub)."""
    ngram: int = Field(10, ge=3)
    """A problem that shares a word n-gram of this length with a benchmark is dropped."""
    execute: bool = True
    """Also drop problems with a solution that passes a benchmark problem's tests."""
    solutions: int = Field(8, ge=1)
    """Distinct solutions tested per problem, most frequent first."""
