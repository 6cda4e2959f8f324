"""The Python environment of DS-1000: built once, with pinned versions, apart from the user's own.

The benchmark's verdicts depend on the versions of pandas and other libraries (with pandas 3 a
quarter of the Pandas references fail), so its programs run in an environment in the cache folder.
`describe` lists what an environment contains, and gives it a hash.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from codedpo_eval import subprocess_output
from codedpo_eval.benchmarks.files import cache_folder
from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.run_folder.shards import replacing
from codedpo_plugin.sandbox.zygote_handle import Interpreter

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
VERSION = "3.11"  # of Python: pandas 1.5.3 has no wheels for later ones
DESCRIPTION = "environment.json"  # written last: an environment without it is incomplete

# Imported before worker processes are forked. Backend and fonts are loaded, so that plots are fast;
# so is what scikit-learn would otherwise read from /proc about thread pools.
_PRELUDE = """
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot, numpy, pandas, PIL.Image, scipy.integrate, scipy.interpolate
import scipy.linalg, scipy.ndimage, scipy.optimize, scipy.signal, scipy.sparse, scipy.spatial
import scipy.stats, seaborn, sklearn, sklearn.ensemble, sklearn.linear_model, sklearn.utils.fixes
import tokenize
sklearn.utils.fixes.threadpool_limits(limits=1)
numpy.random.seed(0)
"""

_DESCRIBE = """
import importlib.metadata, json, platform, sys, sysconfig
packages = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
paths = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
print(json.dumps({"python": platform.python_version(), "machine": platform.machine(),
                  "packages": dict(sorted(packages.items())), "path": list(paths)}))
"""


@dataclass(frozen=True)
class Environment:
    """An interpreter and its libraries, as `describe` returns it."""

    python: str
    version: str
    """Of Python."""
    packages: dict[str, str]
    """Installed distributions (lower case) and their versions."""
    path: tuple[str, ...]
    """Folders they are installed in."""
    sha256: str
    """Of versions and machine type: equal environments give equal verdicts."""

    @property
    def differences(self) -> list[str]:
        """Differences from the pinned versions: `pandas 2.2.0 (pinned: 1.5.3)`."""
        have = {name: self.packages.get(name, "missing") for name in pins()}
        return [f"{name} {have[name]} (pinned: {pin})" for name, pin in pins().items()
                if have[name] != pin]  # fmt: skip

    def interpreter(self) -> Interpreter:
        """How the sandbox starts it: libraries are imported once, before programs are forked."""
        fonts = Path(self.python).parent.parent / "matplotlib"  # made by `setup`
        further = (("MPLCONFIGDIR", str(fonts)),) if fonts.is_dir() else ()
        return Interpreter(self.python, self.path, _PRELUDE, further)


def pins() -> dict[str, str]:
    """Pinned distributions and their versions."""
    lines = REQUIREMENTS.read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def default_folder() -> Path:
    """Where `setup` builds: one folder for each set of pins."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:8]
    return cache_folder() / f"ds1000-{digest}"


def setup(folder: Path | None, console: Console, python: str | None = None) -> Path:
    """Build the environment, unless it is complete already.

    Args:
        folder: where; `default_folder()` if None. Another one has to be given as `--python` later.
        console: shows pip's output.
        python: a Python 3.11 to build with; if None this one, the first on PATH, or uv's.

    Returns:
        Its interpreter.

    Raises:
        InputError: there is no Python 3.11.
        InfrastructureError: a step failed; the message has the end of its output.
    """
    folder = (folder or default_folder()).absolute()
    interpreter = folder / "bin" / "python"
    if (folder / DESCRIPTION).is_file() and interpreter.exists():
        console.print(f"ready    {interpreter}", markup=False)
        return interpreter
    console.print(f"building {folder} (about 600 MB)", markup=False)
    command = [python] if python else _python()
    subprocess_output.run(_venv(command, folder), "creating the environment", console)
    install = [str(interpreter), "-m", "pip", "install", "--disable-pip-version-check"]
    # Wheels only, so that no compiler is needed.
    wheels = ["--only-binary=:all:", "--requirement", str(REQUIREMENTS)]
    subprocess_output.run([*install, *wheels], "installing the libraries", console)
    (folder / "matplotlib").mkdir(exist_ok=True)
    fonts = {"MPLCONFIGDIR": str(folder / "matplotlib")}
    imports = [str(interpreter), "-c", _PRELUDE]
    subprocess_output.run(imports, "importing them, and finding fonts", console, environment=fonts)
    described = describe(str(interpreter))
    if described.differences:
        raise InfrastructureError(
            f"{folder}: differs from the pinned versions: {', '.join(described.differences)}"
        )
    with replacing(folder / DESCRIPTION) as file:
        file.write(json.dumps(_plain(described), indent=2).encode())
    console.print(f"ready    {interpreter}", markup=False)
    return interpreter


def find(python: str | None = None) -> Environment:
    """The environment of an interpreter, or the one that `setup` built.

    Raises:
        InputError: there is none, or libraries are missing.
    """
    interpreter = Path(python) if python else default_folder() / "bin" / "python"
    if not python and not (default_folder() / DESCRIPTION).is_file():
        raise InputError(
            "ds1000 runs in an environment of its own, which has not been built yet: run "
            "`codedpo eval setup ds1000`, or name an interpreter that has its libraries"
        )
    environment = describe(str(interpreter))
    missing = [name for name in pins() if name not in environment.packages]
    if missing:
        raise InputError(f"{interpreter}: missing {', '.join(missing)}; see {REQUIREMENTS}")
    return environment


def describe(python: str) -> Environment:
    """Version, libraries and folders of an interpreter.

    Raises:
        InputError: it cannot be run.
    """
    try:
        done = subprocess.run(
            [python, "-c", _DESCRIBE], capture_output=True, text=True, check=True, timeout=120
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"{python}: not a working Python interpreter ({error})") from None
    found = json.loads(done.stdout)
    versions = json.dumps([found["python"], found["machine"], found["packages"]]).encode()
    return Environment(
        python, found["python"], found["packages"], tuple(found["path"]),
        hashlib.sha256(versions).hexdigest(),
    )  # fmt: skip


def missing_modules(environment: Environment, names: list[str]) -> list[str]:
    """The top-level modules of `names` that cannot be found there."""
    code = (
        "import importlib.util, json, sys\n"
        "print(json.dumps([n for n in sys.argv[1:] if not importlib.util.find_spec(n)]))"
    )
    done = subprocess.run(
        [environment.python, "-c", code, *names], capture_output=True, text=True, check=True
    )
    absent: list[str] = json.loads(done.stdout)
    return absent


def _plain(environment: Environment) -> dict[str, Any]:
    return {"python": environment.version, "packages": environment.packages,
            "sha256": environment.sha256}  # fmt: skip


def _python() -> list[str]:
    """The command of a Python 3.11, or of uv, which installs one."""
    if sys.version_info[:2] == (3, 11):
        return [sys.executable]
    for name in (f"python{VERSION}", "uv"):
        if found := shutil.which(name):
            return [found]
    raise InputError(
        f"ds1000 needs Python {VERSION} (pandas 1.5.3 has no wheels for later ones), and there is "
        "none on PATH: install it, or uv, which installs one; or give one with --python"
    )


def _venv(command: list[str], folder: Path) -> list[str]:
    if Path(command[0]).name == "uv":
        return [*command, "venv", "--clear", "--seed", "--python", VERSION, str(folder)]
    return [*command, "-m", "venv", "--clear", str(folder)]
