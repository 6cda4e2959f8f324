"""What a server turns out to do differently, and how calls are adapted to it."""

import re
from collections.abc import Sequence

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.calls import Call
from codedpo_plugin.sampling.types import Sample

_SINGLE_REPLIES = 3  # in a row, to calls for several samples: the server ignores `n`
_SAME_TEXTS = 3  # prompts of which all samples are equal: the server ignores the temperature


class ServerQuirks:
    """Learns from replies and refusals; `notices` tells the user about them."""

    def __init__(self, settings: Sampling, notices: list[str]) -> None:
        self._settings, self._notices = settings, notices
        self.choices = settings.choices
        """Most samples per call that the server delivers."""
        self.length_field = "max_tokens"
        """Newer models of OpenAI have another name for it."""
        self._single = 0
        self._varied = self._same = 0

    def replied(self, wanted: int, received: int) -> None:
        """Ask for one sample at a time once the server has shown that it ignores `n`."""
        if wanted > 1 and self.choices > 1:
            self._single = self._single + 1 if received == 1 else 0
            if self._single >= _SINGLE_REPLIES:
                self.choices = 1
                self._notices.append("the server ignores `n`; samples are requested one at a time")

    def refused(self, call: Call, reason: str) -> bool:
        """Whether the refused call can be put in another form that the server seems to want."""
        if "max_completion_tokens" in reason and call.length_field == "max_tokens":
            self.length_field = "max_completion_tokens"
            return True
        if call.count > 1 and re.search(r"\bn\b", reason):
            self.choices = 1
            return True
        return False

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
