"""Compile the optional C part of the sandbox, if this machine has a C compiler.

Without one, or off Linux, the package is installed as pure Python: the same verdicts, slower.
`CODEDPO_NO_COMPILE=1` leaves it out on purpose, for a wheel for every platform.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("codedpo_plugin", "sandbox")
SOURCE = FOLDER / "native" / "runner.c"
MODULE = FOLDER / "_runner.abi3.so"  # the stable ABI: for CPython 3.11 and later


class Compile(BuildHookInterface[Any]):
    """For wheels and editable installs; the module lies beside its source."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and make the wheel one for this platform if that went well."""
        if self.target_name != "wheel" or os.environ.get("CODEDPO_NO_COMPILE"):
            return
        target = Path(self.root, MODULE)
        if not compiled(Path(self.root, SOURCE), target):
            self.app.display_warning("no C compiler: the sandbox will run as pure Python")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"
        build_data["force_include"][str(target)] = str(MODULE)


def compiled(source: Path, target: Path) -> bool:
    """Whether the module could be made; replaced at once, as a process may have it loaded."""
    if not sys.platform.startswith("linux") or sys.implementation.name != "cpython":
        return False
    target.unlink(missing_ok=True)
    new = target.with_suffix(".new")
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    include = sysconfig.get_path("include")
    options = ["-O2", "-Wall", "-fPIC", "-shared", "-Wl,-z,now", f"-I{include}"]
    try:
        subprocess.run([compiler[0], *options, str(source), "-o", str(new)], check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    new.replace(target)
    return True
