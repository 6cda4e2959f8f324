"""Try, from inside the sandbox, what a solution must not be able to do."""

import os
import tempfile
from pathlib import Path

from codedpo_plugin.errors import InfrastructureError
from codedpo_plugin.sandbox.client import Sandbox
from codedpo_plugin.sandbox.encoding import decode

PROPERTIES = {
    "filesystem": ("read_outside", "write_outside", "delete_outside"),
    "network": ("network",),
    "processes": ("fork", "thread", "exec"),
    "signals": ("signal_parent",),
    "memory": ("memory",),
}


def tried(sandbox: Sandbox) -> dict[str, str]:
    """Property -> "on", or which attempts succeeded; `escape_attempts` is run as a solution.

    Raises:
        InfrastructureError: the attempts could not be made.
    """
    program = Path(__file__).with_name("escape_attempts.py").read_text()
    with tempfile.TemporaryDirectory() as folder:
        canary = os.path.join(folder, "canary")
        Path(canary).touch(0o644)
        os.chmod(folder, 0o777)
        (reply,) = sandbox.run(program, [{"calls": [f"try_all({canary!r})"]}])
    if reply.record is None:
        raise InfrastructureError(f"the sandbox cannot be tried: {reply.outcome}, {reply.error}")
    found = decode(reply.record["values"][0])
    opened = {
        name: [attempt for attempt in attempts if found[attempt] != "enforced"]
        for name, attempts in PROPERTIES.items()
    }
    return {
        name: f"off: a solution can {', '.join(attempts)}" if attempts else "on"
        for name, attempts in opened.items()
    }


def require(names: list[str], sandbox: Sandbox) -> None:
    """Check that layers of the sandbox, or properties that are tried, are on.

    Raises:
        InfrastructureError: one of the recipe's `execute.require` is not.
    """
    states = sandbox.layers
    if not states.keys() >= set(names):
        states = states | tried(sandbox)
    for name in names:
        state = states.get(name, f"no such layer or property; there are {', '.join(states)}")
        if state != "on":
            raise InfrastructureError(f"execute.require: {name} is off on this machine: {state}")
