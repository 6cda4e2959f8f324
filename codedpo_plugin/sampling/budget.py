"""The budget: what has been spent, and what the calls in flight may still cost."""

from dataclasses import replace

from codedpo_plugin.recipe import Sampling
from codedpo_plugin.sampling.calls import Call
from codedpo_plugin.sampling.types import Reply, Usage

_TEMPLATE_TOKENS = 64  # that a chat template may add to a prompt


class Budget:
    """Never exceeded: a call starts only if it and all others in flight fit at their highest cost.

    Costs are in the currency of `settings.prices`; `usage.spent` counts all runs on one cache.
    """

    def __init__(self, settings: Sampling, usage: Usage) -> None:
        self._settings, self._usage = settings, usage
        self._reserved = 0.0

    def reserve(self, call: Call) -> bool:
        """Set aside the most that a call may cost; False if the budget does not allow it."""
        if self._settings.budget is None:
            return True
        completion = self._settings.max_tokens * call.count
        cost = Reply([], _most(call), completion).cost(self._settings.prices)
        if self._usage.spent + self._reserved + cost > self._settings.budget:
            return False
        call.reserved = cost
        self._reserved += cost
        return True

    def release(self, call: Call) -> None:
        """The call has ended: what it really cost is in the usage."""
        self._reserved -= call.reserved
        call.reserved = 0.0

    def counted(self, call: Call, reply: Reply) -> Reply:
        """The reply with token counts: where there is a budget and the server reports none, the
        highest that they can be."""
        if self._settings.budget is None or reply.prompt_tokens or reply.completion_tokens:
            return reply
        notice = "the server does not report tokens: the budget is charged with the highest cost"
        if notice not in self._usage.notices:
            self._usage.notices.append(notice)
        completion = self._settings.max_tokens * len(reply.samples)
        return replace(reply, prompt_tokens=_most(call), completion_tokens=completion)

    def notice(self) -> str:
        """Why nothing more is sampled."""
        return (
            f"the budget of {self._settings.budget:g} is spent ({self._usage.spent:.4g}; the next "
            "request might exceed it); raise it to continue"
        )


def _most(call: Call) -> int:
    """Tokens of the prompt: each has at least one byte, except those of the chat template."""
    text = str(call.request.prompt) + call.prefill
    return len(text.encode()) + _TEMPLATE_TOKENS
