"""Sources: Python files in folders, git checkouts and datasets, with the licence of each.

Nothing in them is run, and links are not followed.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codedpo_plugin.errors import InputError
from codedpo_plugin.recipe import Dataset, Seeds

_SKIPPED = frozenset(
    ".git .hg .svn .tox .nox .venv venv env __pycache__ node_modules site-packages build dist "
    ".eggs .mypy_cache .ruff_cache test tests testing".split()
)

# The first pattern that the beginning of a licence file matches.
_LICENSES = {
    "apache-2.0": r"Apache License.{0,40}Version 2\.0",
    "agpl-3.0": r"GNU AFFERO GENERAL PUBLIC LICENSE",
    "lgpl-3.0": r"GNU LESSER GENERAL PUBLIC LICENSE.{0,40}Version 3",
    "lgpl-2.1": r"GNU LESSER GENERAL PUBLIC LICENSE",
    "gpl-3.0": r"GNU GENERAL PUBLIC LICENSE.{0,40}Version 3",
    "gpl-2.0": r"GNU GENERAL PUBLIC LICENSE.{0,40}Version 2",
    "mpl-2.0": r"Mozilla Public License.{0,20}(?:Version )?2\.0",
    "psf-2.0": r"PYTHON SOFTWARE FOUNDATION LICENSE",
    "unlicense": r"This is free and unencumbered software",
    "cc0-1.0": r"CC0 1\.0 Universal",
    "isc": r"Permission to use, copy, modify, and(?:/or)? distribute this software for any purpose",
    "mit": r"Permission is hereby granted, free of charge, to any person obtaining a copy",
    "bsd-3-clause": r"Redistribution and use in source and binary forms.*Neither the name",
    "bsd-2-clause": r"Redistribution and use in source and binary forms",
}
_SPDX = re.compile(
    r"SPDX-License-Identifier:\s*([\w.+-]+(?: +(?:and|or|with) +[\w.+-]+)*)", re.IGNORECASE
)
_LICENSE_FILES = re.compile(r"(?:licen[cs]es?|copying|unlicense)(?:[.-](?!py$).*)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """One Python file."""

    text: str
    path: str
    """Its place in its repository, folder or dataset."""
    repository: str
    """Its git remote and commit, or the folder or dataset."""
    license: str | None
    """SPDX expression (`mit`, `mit or apache-2.0`) in lower case, if known."""


def permitted(license: str | None, allowed: set[str]) -> bool:
    """Whether a licence is allowed: any side of an `or`, and all sides of an `and`."""
    choices = (license or "").split(" or ")
    return any(allowed.issuperset(choice.split(" and ")) for choice in choices)


def read_sources(settings: Seeds) -> Iterator[Source | str]:
    """All sources in order; a string instead says why a file was left out.

    Raises:
        InputError: a folder or dataset is missing, or has no Python.
    """
    for folder in settings.folders:
        if not folder.is_dir():
            raise InputError(f"seeds.folders: {folder}: no such folder")
        found = False
        for source in _folder_sources(folder, settings.max_file_kb << 10):
            found = True
            yield source
        if not found:
            raise InputError(f"seeds.folders: {folder}: no Python files (*.py) in it")
    for dataset in settings.datasets:
        yield from _dataset_sources(dataset, settings)


def _folder_sources(root: Path, most: int) -> Iterator[Source | str]:
    places = {root.parent: _around(root)}
    for name, folders, files in os.walk(root):
        folder = Path(name)
        folders[:] = sorted(one for one in folders if one not in _SKIPPED)
        places[folder] = _place(folder, files, places[folder.parent])
        for file in sorted(files):
            if file.endswith(".py"):
                yield _read(folder / file, root, places[folder], most)


Place = tuple[str, str | None]
"""Repository and licence."""


def _around(root: Path) -> Place:
    """Repository and licence of the checkout that a folder is part of, if any."""
    place: Place = (str(root), None)
    parents = root.resolve().parents
    checkout = next((n for n, folder in enumerate(parents) if (folder / ".git").exists()), -1)
    for folder in reversed(parents[: checkout + 1]):
        place = _place(folder, [one.name for one in folder.iterdir()], place)
    return place


def _place(folder: Path, files: list[str], outer: Place) -> Place:
    """Repository and licence in a folder; `outer` holds for its parent folder."""
    repository, license = outer
    if (folder / ".git").exists():
        repository, license = _git_name(folder), None
    texts = [_beginning(folder / file) for file in files if _LICENSE_FILES.match(file)]
    if not any(texts):
        return repository, license
    # Two texts may cover different parts, or be alternatives: take both to apply.
    return repository, " and ".join(sorted(filter(None, set(map(license_of, texts))))) or None


def _beginning(path: Path) -> bytes:
    """The first bytes of a file; empty if it is not a file or not readable."""
    try:
        return path.read_bytes()[:20_000] if path.is_file() else b""
    except OSError:
        return b""


def license_of(text: bytes) -> str | None:
    """The SPDX identifier of a licence text, or None."""
    words = " ".join(text.decode("utf-8", "replace").split())
    if spdx := _SPDX.search(words):
        return _expression(spdx[1])
    for name, pattern in _LICENSES.items():
        if re.search(pattern, words, re.IGNORECASE if name != "mit" else 0):
            return name
    return None


def _expression(text: str) -> str:
    return " ".join(text.lower().split())


def _git_name(folder: Path) -> str:
    """`remote@commit` of a checkout, without a password; its path if git fails."""
    output = []
    for command in (["config", "--get", "remote.origin.url"], ["rev-parse", "HEAD"]):
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *command], capture_output=True, text=True, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            return str(folder)
        output.append(done.stdout.strip())
    remote = re.sub(r"(?<=://)[^/@]*@", "", output[0]) or str(folder)
    return f"{remote}@{output[1]}" if output[1] else remote


def _read(path: Path, root: Path, place: Place, most: int) -> Source | str:
    try:
        if path.is_symlink() or not path.is_file():
            return "file: a link or no file"
        if path.stat().st_size > most:
            return "file: too large"
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return "file: not UTF-8"
    except OSError:
        return "file: cannot be read"
    repository, license = place
    spdx = _SPDX.search(text[:2000])
    license = _expression(spdx[1]) if spdx else license
    return Source(text, str(path.relative_to(root)), repository, license)


def _dataset_sources(dataset: Dataset, settings: Seeds) -> Iterator[Source | str]:
    for number, row in enumerate(_dataset_rows(dataset)):
        _check_columns(row, dataset, settings)
        text = row[dataset.text]
        if not isinstance(text, str):
            yield "file: no text"
        elif len(text) > settings.max_file_kb << 10:
            yield "file: too large"
        else:
            path = str(row.get("path") or row.get("max_stars_repo_path") or number)
            repository = str(row.get("repo_name") or row.get("max_stars_repo_name") or dataset.path)
            stated = row.get(dataset.license) if dataset.license else None
            yield Source(text, path, repository, _stated_license(stated))


def _check_columns(row: dict[str, Any], dataset: Dataset, settings: Seeds) -> None:
    wanted = {"text": dataset.text} | ({"license": dataset.license} if settings.allow else {})
    for key, column in wanted.items():
        if column not in row:
            raise InputError(
                f"seeds.datasets: {dataset.path}: no column `{column}`; name the right one in "
                f"`{key}` (columns here: {', '.join(row)})"
            )


def _stated_license(stated: Any) -> str | None:
    """Several licences of one file all apply: nothing says which parts they cover."""
    names = stated if isinstance(stated, list) else [stated]
    return " and ".join(_expression(name) for name in names if isinstance(name, str)) or None


def _dataset_rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Rows, streamed instead of downloaded."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise InputError("seeds.datasets needs a package: pip install datasets") from None
    try:
        yield from load_dataset(
            dataset.path,
            dataset.name,
            data_dir=dataset.data_dir,
            split=dataset.split,
            streaming=True,
        )
    except (OSError, ValueError) as error:
        raise InputError(f"seeds.datasets: {dataset.path}: {error}") from None
