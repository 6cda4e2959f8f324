"""Seeds: which functions of source code are taken, and why others are not."""

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("datasketch", reason="pip install 'codedpo[sample]'")

from rich.console import Console

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Recipe, Seeds
from codedpo_plugin.run_folder.shards import Row
from codedpo_plugin.synthesis import seeds
from helpers.source_code import GOOD, MIT


def find(folder: Path, **settings: Any) -> tuple[list[Row], Counter[str]]:
    found = list(seeds.find_seeds(Seeds(folders=[folder], **settings)))
    return [one for one in found if isinstance(one, dict)], Counter(
        one for one in found if isinstance(one, str)
    )


def function(change: tuple[str, str]) -> str:
    assert change[0] in GOOD
    return GOOD.replace(*change)


def test_a_function_with_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "a.py").write_text(GOOD)
    (tmp_path / "LICENSE").write_text(MIT)
    ((seed,), dropped) = find(tmp_path)
    assert seed["code"] == GOOD.replace("\n\n\n", "\n\n").strip()
    assert (seed["name"], seed["path"], seed["line"], seed["license"]) == (
        "area",
        "pkg/a.py",
        4,
        "mit",
    )
    assert not dropped


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (function(('"""Area of a circle."""', "pass")), "no docstring"),
        (function(("(radius)", "()")), "no arguments"),
        (function(("return math.pi * squared", "print(squared)")), "no return"),
        (function(("math.pi", "maths.pi")), "undefined names"),
        (function(("area", "test_area")), "a test"),
        ('def f(x):\n    """Same."""\n    return x\n', "too short or too long"),
        (
            function(("squared = radius", "password = 'hunter2hunter2'\n    squared = radius")),
            "secret",
        ),
        (function(("Area of a circle.", "Ask jane.doe@company.org")), "personal data"),
        ("def f(:\n", "file: does not parse"),
        ("x = 1\n" * 400_000, "file: too large"),
    ],
    ids=lambda value: value if len(value) < 40 else "",
)
def test_what_is_dropped_is_counted_by_reason(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.py").write_text(text)
    assert find(tmp_path) == ([], Counter([reason]))


def test_odd_files_are_counted_and_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    (tmp_path / "nul.py").write_bytes(b"x = 1\0\n")
    (tmp_path / "deep.py").write_text("(" * 5000 + ")" * 5000)
    with open(tmp_path / "huge.py", "wb") as file:
        file.truncate(50 << 20)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.py").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.py").mkdir()
    rows, dropped = find(tmp_path)
    assert len(rows) == 1
    assert dropped == {
        "file: not UTF-8": 1, "file: does not parse": 2, "file: too large": 1, "file: a link or no file": 1,
    }  # fmt: skip


def test_near_duplicates_count_once(tmp_path: Path) -> None:
    long = GOOD.replace(
        "squared = radius * radius", "\n    ".join(f"squared = radius * {n}" for n in range(20))
    )
    (tmp_path / "a.py").write_text(long)
    (tmp_path / "b.py").write_text(long.replace('"negative"', '"below zero"'))
    rows, dropped = find(tmp_path)
    assert (len(rows), dropped) == (1, {"near-duplicate": 1})


def test_only_allowed_licences_are_taken(tmp_path: Path) -> None:
    for name, text in {
        "one": MIT,
        "two": "GNU GENERAL PUBLIC LICENSE Version 3",
        "three": "",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text(GOOD.replace("area", name))
        if text:
            (tmp_path / name / "LICENSE.txt").write_text(text)
    rows, dropped = find(tmp_path, allow=["MIT"], near_duplicates=0.95)
    assert [row["license"] for row in rows] == ["mit"]
    assert dropped == {"file: licence gpl-3.0": 1, "file: licence unknown": 1}


def test_a_checkout_is_named_by_remote_and_commit(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "a.py").write_text(GOOD)
    git("init", "-q")
    git("add", "a.py")
    git("commit", "-qm", "m")
    git("remote", "add", "origin", "https://user:token@host/owner/name.git")
    ((seed,), _) = find(tmp_path)
    assert seed["repository"] == f"https://host/owner/name.git@{git('rev-parse', 'HEAD')}"


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_a_local_dataset_is_read_with_its_licences(tmp_path: Path, form: str) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.logging.set_verbosity_error()
    rows = [
        {"content": GOOD, "license": "MIT", "licenses": ["MIT", "Apache-2.0"]},
        {"content": GOOD, "license": "GPL-3.0", "licenses": ["MIT", "GPL-3.0"]},
        {"content": None, "license": "MIT", "licenses": ["MIT"]},
        {"content": GOOD, "license": None, "licenses": []},
    ]
    table = datasets.Dataset.from_list(rows)
    for part in range(2):  # in two files
        piece = table.shard(2, part, contiguous=True)
        path = str(tmp_path / f"train-{part}.{form}")
        piece.to_parquet(path) if form == "parquet" else piece.to_json(path)

    def found(**keys: str) -> list[str | None]:
        dataset = {"path": str(tmp_path)} | keys
        settings = Seeds.model_validate({"datasets": [dataset], "allow": ["mit", "apache-2.0"]})
        return [
            one if isinstance(one, str) else one["license"] for one in seeds.find_seeds(settings)
        ]

    unknown = "file: licence unknown"
    assert found() == ["mit", "file: licence gpl-3.0", "file: no text", unknown]
    assert found(license="licenses") == [
        "mit and apache-2.0", "file: licence mit and gpl-3.0", "file: no text", unknown,
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"no column `code`; .* `text` \(columns here: content"):
        found(text="code")
    with pytest.raises(InputError, match="no column `lic`; name the right one in `license`"):
        found(license="lic")
    with pytest.raises(InputError, match=r"seeds.datasets: .*Bad split: dev"):
        found(split="dev")


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text(GOOD)
    settings = {
        "output": tmp_path / "run",
        "seeds": {"folders": [tmp_path / "src"]},
        "sampling": {"model": "m"},
    }
    recipe = Recipe.model_validate(settings)
    seeds.run(recipe, Console(quiet=True))
    made = (tmp_path / "run" / "seeds" / "seeds.jsonl").stat().st_mtime_ns
    seeds.run(recipe, Console(quiet=True))
    assert (tmp_path / "run" / "seeds" / "seeds.jsonl").stat().st_mtime_ns == made
