"""Real samples, where they are kept."""

import gzip
import json
from typing import Any

import pytest

from helpers.paths import ROOT

DATA = ROOT.parent / "shared" / "data"


def real_candidates(name: str) -> list[dict[str, Any]]:
    """Rows of a real data set, or a loud skip where it is not at hand."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"needs {path}, which is not part of the repository")
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]
