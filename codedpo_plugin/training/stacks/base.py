"""The questions that the checks ask of a training recipe, independent of its stack.

To add a stack, write a subclass of `TrainingRecipe` in a module here, and list it in
`training.recipe.STACKS`.
"""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast, get_args

from codedpo_plugin.errors import InputError, did_you_mean
from codedpo_plugin.training.findings import Finding, Level

Method = Literal["dpo", "kto", "sft"]
Keys = dict[str, Any]


@dataclass(frozen=True)
class Key:
    """A key of a stack's recipes, and the stack's default."""

    name: str
    default: Any = None


@dataclass(frozen=True)
class CommonKeys:
    """Settings that every stack has under some name."""

    model: Key
    max_length: Key
    batch_size: Key
    """Rows on one GPU at a time"""
    epochs: Key
    lora_rank: Key
    output: Key
    accumulation: Key = Key("gradient_accumulation_steps", 1)
    max_steps: Key = Key("max_steps", -1)
    precompute_reference: Key = Key("precompute_ref_log_probs", False)


@dataclass(frozen=True)
class MemoryAdvice:
    """How a user of the stack makes training need less memory, or run faster."""

    one_gpu: str
    strategies: Mapping[str, str]
    """Name of a way to share the model between GPUs (`memory.STRATEGIES`) -> what to set"""
    lora: str
    checkpointing_on: str
    checkpointing_off: str


@dataclass(frozen=True)
class TrainingRecipe(ABC):
    """A recipe of one stack: its keys, and answers to what the checks ask."""

    place: str
    """The files it came from, for messages"""
    keys: Keys
    method: Method

    stack: ClassVar[str]
    """Name of the stack, and of its package"""
    common: ClassVar[CommonKeys]
    removed_keys: ClassVar[Mapping[str, str]] = {}
    """Keys of older versions -> what to write instead"""
    advice: ClassVar[MemoryAdvice]
    builds_logits: ClassVar[bool] = True
    """Whether logits of all tokens are in memory at once"""
    can_precompute_reference: ClassVar[bool] = True
    applies_template: ClassVar[bool] = False
    """Whether the stack has its own chat templates, which it applies to rows of strings"""

    @classmethod
    @abstractmethod
    def recognizes(cls, keys: Keys) -> bool:
        """Whether a file with these keys is a recipe of this stack."""

    @staticmethod
    @abstractmethod
    def method_in(keys: Keys) -> str:
        """What the keys say about the method."""

    @classmethod
    def from_keys(cls, place: str, keys: Keys) -> Self:
        """The recipe with these keys.

        Raises:
            InputError: its method is one that no dataset is built for.
        """
        method = cls.method_in(keys)
        if method not in get_args(Method):
            raise InputError(f"{place}: {method!r}: datasets of codedpo are for dpo, kto and sft")
        return cls(place, keys, cast(Method, method))

    def value(self, key: Key) -> Any:
        """The value of a key, or the stack's default."""
        return self.keys.get(key.name, key.default)

    def number(self, key: Key) -> float:
        """A value that must be a number (YAML reads `5e-6`, without a dot, as text).

        Raises:
            InputError: it is not one.
        """
        value = self.value(key)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise InputError(f"{self.place}: {key.name}: {value!r} is not a number") from None

    @property
    def model(self) -> str | None:
        """The model to train: a folder or a name on the hub."""
        return str(model) if (model := self.value(self.common.model)) else None

    @property
    def max_length(self) -> int:
        """Tokens of a row: prompt and completion."""
        return int(self.number(self.common.max_length))

    @property
    def precomputes_reference(self) -> bool:
        """Whether the reference's log-probabilities are computed before training."""
        return bool(self.value(self.common.precompute_reference))

    @property
    @abstractmethod
    def lora(self) -> bool:
        """Whether an adapter is trained instead of the model."""

    @property
    @abstractmethod
    def gradient_checkpointing(self) -> bool:
        """Whether activations are recomputed in the backward pass."""

    @property
    def frozen_bytes(self) -> int:
        """Bytes of each frozen weight under LoRA."""
        return 2

    @property
    def installed(self) -> bool:
        """Whether the stack can be imported here."""
        return importlib.util.find_spec(self.stack) is not None

    @abstractmethod
    def schema_errors(self) -> Iterator[str]:
        """A message for each key or value that the installed stack would refuse or ignore."""

    @abstractmethod
    def splits(self) -> dict[str, Any]:
        """Rows by split, `train` and perhaps `test`, read as the stack reads them.

        Raises:
            InputError: there is no such data.
        """

    @abstractmethod
    def launch_command(self, path: Path, gpus: int) -> str:
        """The command that trains, with this recipe at `path`."""

    @abstractmethod
    def key_pitfalls(self, gpus: int) -> Iterator[Finding]:
        """Keys that are valid by themselves and fail late, or do nothing, together."""

    def row_pitfalls(self, rows: Any, gpus: int) -> Iterator[Finding]:
        """Rows of the training split that the stack would misread."""
        yield from ()

    def template_pitfalls(self, tokenizer: Any) -> Iterator[Finding]:
        """How a template of the stack's own compares with the model's."""
        yield from ()

    def string_pitfalls(self, tokenizer: Any) -> Iterator[Finding]:
        """What the stack makes of rows of strings."""
        yield from ()

    @property
    def trimming(self) -> Level:
        """How bad it is that the chat template changes a completion."""
        return "warning"

    def unknown_keys(self, unknown: Iterable[str], known: Iterable[str]) -> Iterator[str]:
        """A message for each unknown key: what replaced it, or the nearest that there is."""
        known = list(known)
        for key in sorted(unknown):
            removed = self.removed_keys.get(key)
            hint = f": {removed}" if removed else did_you_mean(key, known)
            yield f"{key}: unknown to the installed {self.stack}{hint}"
