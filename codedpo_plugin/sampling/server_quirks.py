"""What a server turns out to do differently, and how calls are adapted to it."""

import re
from collections.abc import Sequence
from dataclasses import replace

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.calls import Call, Form
from codedpo_plugin.sampling.failures import CONTENT_POLICY, TOO_LONG, Refusal
from codedpo_plugin.sampling.types import Sample

_SINGLE_REPLIES = 3  # in a row, to calls for several samples: the server ignores `n`
_SHORTEST = 16  # tokens of an answer that are worth a request
_SAME_TEXTS = 3  # prompts of which all samples are equal: the server ignores the temperature

_OPTIONAL = ("top_p", "temperature", "seed", "stop")
"""Fields that can be left out. Of two that exclude each other, the first one is."""
_PREFILL = re.compile(
    r"continue_final_message|add_generation_prompt|prefill|assistant|(last|final) message",
    re.IGNORECASE,
)
_COMPLAINT = re.compile(
    r"support|unrecogni[sz]ed|unknown|unexpected|permitted|allowed|invalid|extra|must|cannot|"
    r"can't|only|deprecated|too long|at most|maximum|bad",
    re.IGNORECASE,
)
_OUT_OF_RANGE = re.compile(
    r"between|range|less than|greater than|at most|at least|minimum|maximum|positive|[<>]",
    re.IGNORECASE,
)
"""The value is wrong, not the field: the user has to change it."""
_CONTEXT = re.compile(r"context length is (?:only )?(\d+)|context size \((\d+)", re.IGNORECASE)
_PROMPT = re.compile(
    r"(?:at least |passed |has |request \()?(\d+) (?:input tokens|tokens\) exceeds|"
    r"in the (?:messages|prompt))",
    re.IGNORECASE,
)


class ServerQuirks:
    """Learns from replies and refusals; `notices` tells the user about them."""

    def __init__(self, settings: Sampling, notices: list[str]) -> None:
        self._settings, self._notices = settings, notices
        self.choices = settings.choices if _charges_prompts(settings) else 1
        """Samples per call, at most."""
        self.form = Form()
        """How calls are written."""
        self._single = 0
        self._varied = self._same = 0
        self._shortened = False

    def replied(self, wanted: int, received: int) -> None:
        """Ask for one sample at a time once the server has shown that it ignores `n`."""
        if wanted > 1 and self.choices > 1:
            self._single = self._single + 1 if received == 1 else 0
            if self._single >= _SINGLE_REPLIES:
                self.choices = 1
                self._notices.append("the server ignores `n`; samples are requested one at a time")

    def refused(self, call: Call, refusal: Refusal) -> bool:
        """Whether the refused call can be written in another way that the server seems to want."""
        if refusal.reason in (TOO_LONG, CONTENT_POLICY) or refusal.no_access:
            return False
        if call.form != self.form or call.count > self.choices:
            return True  # it was sent before this was known
        if "max_completion_tokens" in refusal.message and self.form.length_field == "max_tokens":
            self.form = replace(self.form, length_field="max_completion_tokens")
            self._notices.append("the server wants `max_completion_tokens`, not `max_tokens`")
            return True
        if call.prefill and _PREFILL.search(refusal.message):
            return self._omit({"prefill"}, refusal, "answers are not given a beginning (`prefill`)")
        if _named("n", refusal):
            if call.count > 1:
                self.choices = 1
                self._notices.append("the server takes no `n`; samples are requested one at a time")
                return True
            return self._omit({"n"}, refusal, "")
        for name in _OPTIONAL:
            if _named(name, refusal) and name not in self.form.omitted and self._sends(name):
                return self._omit({name}, refusal, self._without(name))
        return False

    def shortened(self, call: Call, refusal: Refusal) -> bool:
        """Lower a call's `max_tokens` to what the context leaves after its prompt, if the refusal
        says that this is the problem."""
        context, prompt = (pattern.search(refusal.message) for pattern in (_CONTEXT, _PROMPT))
        if refusal.reason != TOO_LONG or not (context and prompt):
            return False
        most = call.max_tokens or self._settings.max_tokens
        room = int(next(filter(None, context.groups()))) - int(prompt[1])
        if "at least" in refusal.message:  # the server has not counted the whole prompt
            room = most // 2
        if not _SHORTEST <= room < most:
            return False
        call.max_tokens = room
        if not self._shortened:
            self._shortened = True
            self._notices.append(
                f"the prompt and `max_tokens` ({self._settings.max_tokens}) together are longer "
                "than the server's context; such requests ask for as much as there is room for"
            )
        return True

    def sampled(self, samples: Sequence[Sample]) -> None:
        """Compare all samples of one request."""
        if len(samples) > 2:
            varied = len({sample.text for sample in samples}) > 1
            self._varied += varied
            self._same += not varied

    def finish(self) -> None:
        """Warn of a server that ignores the temperature."""
        if self._settings.temperature and self._same >= _SAME_TEXTS and not self._varied:
            self._notices.append(
                f"for each of {self._same} prompts all samples are the same text: the server "
                "seems to ignore `temperature`"
            )

    def _sends(self, name: str) -> bool:
        """Whether calls have a field of the recipe; the user's `extra_body` stays."""
        value = getattr(self._settings, name)
        return name not in self._settings.extra_body and value not in (None, [])

    def _omit(self, names: set[str], refusal: Refusal, effect: str) -> bool:
        if names <= self.form.omitted:
            return False
        self.form = replace(self.form, omitted=self.form.omitted | names)
        what = " and ".join(f"`{name}`" for name in sorted(names))
        self._notices.append(
            f"the server does not accept {what} ({refusal.message[:160]}); requests are sent "
            f"without it{': ' if effect else ''}{effect}"
        )
        return True

    def _without(self, name: str) -> str:
        """What it means that a field is left out."""
        if name == "stop":
            return "answers are cut at the stop sequences when they have arrived"
        if name == "seed":
            return "samples cannot be repeated"
        value = getattr(self._settings, name)
        return f"the server's own value is used, not {value:g}"


def _charges_prompts(settings: Sampling) -> bool:
    """Whether several samples per call save money. Otherwise they cost time: a call holds its
    slots until its slowest sample is there, and a local server has the prompt in its cache."""
    return bool(settings.prices.prompt or settings.api_key_env)


def _named(name: str, refusal: Refusal) -> bool:
    """Whether the server complains about a field; some names are also English words."""
    if name not in ("n", "stop") and _OUT_OF_RANGE.search(refusal.message):
        return False
    if refusal.field == name:
        return True
    pattern = rf"\b{name}\b"
    if name in ("stop", "seed"):
        pattern = (
            rf"['\"`.\[]{name}\b|\b{name}['\"`:\]]|"
            rf"(supplied|field|argument|parameter)s?:? {name}\b"
        )
    return bool(re.search(pattern, refusal.message) and _COMPLAINT.search(refusal.message))
