"""Source files, and their licences."""

from pathlib import Path

import pytest

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Seeds
from codedpo_plugin.synthesis.sources import Source, license_of, permitted, read_sources
from helpers.source_code import GOOD, MIT


def test_the_licence_of_a_checkout_holds_for_folders_without_their_own(
    tmp_path: Path,
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "LICENSE").write_text(MIT)
    for folder in ("src/mine", "src/theirs", "src/both"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text(GOOD)
    (tmp_path / "src/mine/license.py").write_text("x = 1")
    (tmp_path / "src/theirs/COPYING").write_text("All rights reserved.")
    (tmp_path / "src/both/LICENSE-MIT").write_text(MIT)
    (tmp_path / "src/both/LICENSE-APACHE").write_text("Apache License\nVersion 2.0")
    sources = read_sources(Seeds(folders=[tmp_path / "src"]))
    found = {one.path: one.license for one in sources if isinstance(one, Source)}
    assert found == {
        "mine/a.py": "mit",
        "mine/license.py": "mit",
        "theirs/a.py": None,
        "both/a.py": "apache-2.0 and mit",
    }


def test_one_of_alternative_licences_must_be_allowed_else_all() -> None:
    allowed = {"mit", "apache-2.0"}
    assert permitted("gpl-3.0 or mit", allowed)
    assert permitted("apache-2.0 and mit", allowed)
    assert not permitted("gpl-3.0 and mit", allowed)
    assert not permitted("gpl-2.0 with classpath-exception", allowed)
    assert not permitted(None, allowed)


def test_missing_folders_and_folders_without_python_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match="no Python files"):
        list(read_sources(Seeds(folders=[tmp_path])))
    with pytest.raises(InputError, match="no such folder"):
        list(read_sources(Seeds(folders=[tmp_path / "gone"])))


def test_licences_are_recognised_by_their_text() -> None:
    assert license_of(MIT.encode()) == "mit"
    assert license_of(b"Apache License\n   Version 2.0, January 2004") == "apache-2.0"
    assert license_of(b"SPDX-License-Identifier: BSD-3-Clause") == "bsd-3-clause"
    assert license_of(b"# SPDX-License-Identifier: GPL-2.0 OR  MIT\n") == "gpl-2.0 or mit"
    assert license_of(b"All rights reserved.") is None
