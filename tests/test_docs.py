"""The documentation names files that exist."""

import re
from pathlib import Path

import pytest

from helpers.paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED = re.compile(
    r"`((?:codedpo_plugin|eval|tests|recipes|benchmarks|docs|examples)/[\w./-]*)`"
    r"|\]\((?!https?:|#)([^)#\s]+)"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    missing = [
        name or link
        for name, link in NAMED.findall(page.read_text())
        if not (ROOT / name if name else page.parent / link).exists()
    ]
    assert not missing
