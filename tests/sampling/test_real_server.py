"""End to end with nothing mocked: `transformers serve`, and a tiny model trained from scratch.

Takes some minutes, mostly for training: `make test-server`.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openai", reason="pip install 'codedpo[sample]'")
pytest.importorskip("uvicorn", reason="pip install 'transformers[serving]'")

import socket

from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.recipe import Sampling, Seeds
from codedpo_plugin.run_folder import manifests
from codedpo_plugin.run_folder.shards import read_rows
from codedpo_plugin.sampling import CACHE, Cache, Request, sample
from codedpo_plugin.stages import GENERATE, PROBLEMS
from codedpo_plugin.synthesis import prompts
from codedpo_plugin.synthesis.seeds import find_seeds
from helpers.candidates import write_jsonl
from helpers.exercises import EXERCISES, fenced
from helpers.seeds import SEEDS, recipe_on
from helpers.trained_writer import make

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = (row for row in find_seeds(Seeds.model_validate(SEEDS)) if isinstance(row, dict))
    started = time.monotonic()
    folder = make(tmp_path_factory.mktemp("tiny"), [next(found) for _ in EXERCISES])
    print(f"trained in {time.monotonic() - started:.0f} s")
    return folder


@pytest.fixture(scope="module")
def url(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("hf")
    (home / "hub").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("transformers")),
        "serve",
        str(model),
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    with open(home / "log", "wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 300
        while not _healthy(port):
            assert time.monotonic() < deadline, (home / "log").read_text()[-2000:]
            assert server.poll() is None, (home / "log").read_text()[-2000:]
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def test_from_sources_to_a_dataset_that_loads(tmp_path: Path, model: Path, url: str) -> None:
    from datasets import load_dataset

    def build(*overrides: str) -> Path:
        sampling = {"model": str(model), "base_url": url, "max_tokens": 200, "max_concurrency": 4}
        server: Any = SimpleNamespace(url=url)
        recipe = recipe_on(tmp_path, server, *overrides, sampling=sampling)
        pipeline.build(recipe, (1, 1), Console(width=120))
        return recipe.output

    folder = build()
    made = manifests.load(folder, GENERATE)
    assert made
    print(json.dumps(manifests.summary(folder), indent=1)[:4000])
    assert made["kept"] >= 3
    data = load_dataset(str(folder / "dataset"), "dpo", split="train", cache_dir=str(tmp_path))
    assert len(data) > 0
    assert any(row["pairs"] for row in read_rows(folder, "pairs"))

    # A second round: only missing samples are requested.
    before, first = paid(folder), next(iter(read_rows(folder, "candidates")))["task_id"]
    more = [{"task_id": first, "solutions": 9, "tests": 3}]
    build(f"generate.more={write_jsonl(tmp_path / 'more.jsonl', more)}")
    assert paid(folder) == before + 3 + 1

    # Tests as inputs only: the existing solutions decide the expected values.
    before = paid(folder)
    build("generate.tests.outputs=vote")
    assert paid(folder) == before + 2 * int((manifests.load(folder, PROBLEMS) or {})["kept"])
    rows = list(read_rows(folder, "candidates"))
    assert all(f"assert {row['entry_point']}(" in test for row in rows for test in row["tests"])
    assert any(row["tests"] for row in rows)


def paid(folder: Path) -> int:
    """Samples requested from the server, in all."""
    with Cache(folder / CACHE, read_only=True) as cache:
        return sum(one["samples"] for one in cache.totals())


def test_in_process_the_same_model_writes_the_same_texts(tmp_path: Path, model: Path) -> None:
    how = Sampling(backend="transformers", model=str(model), max_tokens=200, temperature=0.8)
    template = prompts.load("solution-v1", "prompt")
    known = {fenced(code) for exercise in EXERCISES for code in exercise.solutions}
    texts = [template.fill(prompt=exercise.problem()).strip() for exercise in EXERCISES]
    requests = [Request(text, "x", [{"role": "user", "content": text}], 20) for text in texts]
    started = time.monotonic()
    found = [one.text in known for _, some in sample(requests, how, tmp_path / "c") for one in some]
    print(f"{len(found)} samples in {time.monotonic() - started:.1f} s")
    assert sum(found) > 0.8 * len(found) == 0.8 * 20 * len(EXERCISES)
