"""The dataset: what trainers load, what never gets in, and where it is pushed."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console

from codedpo_plugin import pipeline
from codedpo_plugin.dataset import export, hub
from codedpo_plugin.errors import InfrastructureError, InputError
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder.shards import read_rows
from helpers.candidates import DOUBLE, SIGN, make_recipe

PAIR_COLUMNS = [
    "prompt", "chosen", "rejected", "task_id", "kind", "chosen_index", "rejected_index",
    "chosen_score", "rejected_score", "chosen_seconds", "rejected_seconds", "confidence",
]  # fmt: skip


def read(dataset: Path, config: str) -> list[dict[str, Any]]:
    """All rows of a config, of both splits."""
    files = sorted((dataset / config).glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def exported(recipe: Recipe, **changes: Any) -> Path:
    """Export a finished run again with other settings."""
    changed = recipe.model_copy(update={"export": recipe.export.model_copy(update=changes)})
    export.export(changed)
    return changed.output / "dataset"


def test_columns_are_the_contract(built: Recipe) -> None:
    dataset = exported(built)
    for config in ("dpo", "correctness", "efficiency"):
        assert all(list(row) == PAIR_COLUMNS for row in read(dataset, config))
    assert {row["kind"] for row in read(dataset, "dpo")} == {"correctness", "efficiency"}
    assert {row["kind"] for row in read(dataset, "efficiency")} == {"efficiency"}
    correctness = read(dataset, "correctness")
    assert len(correctness) == 2
    assert all(row["chosen_seconds"] is None for row in correctness)
    assert all(0 <= row["confidence"] <= 1 for row in read(dataset, "dpo"))


def test_conversational_rows_hold_fenced_code_and_standard_ones_bare_code(built: Recipe) -> None:
    row = next(row for row in read(exported(built), "correctness") if row["task_id"] == "double")
    assert row["prompt"] == [{"role": "user", "content": DOUBLE["prompt"]}]
    fenced = f"```python\n{DOUBLE['solutions'][0]}\n```"
    assert row["chosen"] == [{"role": "assistant", "content": fenced}]
    dataset = exported(built, format="standard")
    row = next(row for row in read(dataset, "correctness") if row["task_id"] == "double")
    assert row["prompt"] == DOUBLE["prompt"] + "\n"
    assert row["rejected"] == DOUBLE["solutions"][3] + "\n"


def test_responses_are_used_where_there_are_any(tmp_path: Path) -> None:
    responses = [f"Sure!\n```python\n{code}\n```" for code in DOUBLE["solutions"]]
    recipe = make_recipe(tmp_path, [DOUBLE | {"responses": responses}])
    pipeline.build(recipe, (1, 1), Console(quiet=True))
    rows = read(recipe.output / "dataset", "dpo")
    assert {row["chosen"][0]["content"] for row in rows} == {responses[0]}


def test_asking_for_responses_that_are_not_there_is_an_error(built: Recipe) -> None:
    with pytest.raises(InputError, match="no `responses`"):
        exported(built, text="response")


def test_kto_labels_and_sft_rows(built: Recipe) -> None:
    dataset = exported(built)
    kto = read(dataset, "kto")
    labels = {(row["task_id"], row["solution_index"]): row["label"] for row in kto}
    assert labels == {("double", 0): True, ("double", 1): False, ("double", 3): False,
                      ("sign/1", 0): True, ("sign/1", 2): False} | {
        key: label for key, label in labels.items() if key == ("sign/1", 4)
    }  # fmt: skip
    assert all(isinstance(row["label"], bool) for row in kto)
    assert {row["task_id"] for row in read(dataset, "sft")} == {"double", "sign/1"}


def test_a_problem_lies_in_one_split_only_and_keeps_it(built: Recipe) -> None:
    splits = {export.split_of(f"task {n}", 0, 0.5) for n in range(50)}
    assert splits == {"train", "test"}
    moved = [n for n in range(1000) if export.split_of(str(n), 0, 0.1) == "test"]
    assert 60 < len(moved) < 140
    assert set(moved) <= {n for n in range(1000) if export.split_of(str(n), 0, 0.2) == "test"}


def test_the_card_names_configs_splits_and_files(built: Recipe) -> None:
    dataset = exported(built)
    _, head, body = (dataset / "README.md").read_text().split("---\n", 2)
    configs = {config["config_name"]: config for config in yaml.safe_load(head)["configs"]}
    assert configs["dpo"]["default"] is True
    for config in configs.values():
        assert all((dataset / file["path"]).stat().st_size for file in config["data_files"])
    assert "| `dpo` |" in body
    assert (dataset / "pairs.png").read_bytes().startswith(b"\x89PNG")


def test_a_dataset_that_was_built_again_is_not_read_from_the_cache(
    built: Recipe, tmp_path: Path
) -> None:
    """The cache of `datasets` knows a local folder by its base name and its card alone."""
    datasets = pytest.importorskip("datasets", reason="pip install 'codedpo[train]'")

    def prompts(folder: Path) -> list[Any]:
        rows = datasets.load_dataset(str(folder), "dpo", split="train", cache_dir=str(tmp_path))
        return [row["prompt"] for row in rows]

    texts = prompts(exported(built, format="standard", test_fraction=0.0))
    messages = prompts(exported(built, format="conversational", test_fraction=0.0))
    assert messages == [[{"role": "user", "content": text.strip()}] for text in texts]


def test_llamafactory_gets_strings_and_an_index(built: Recipe) -> None:
    folder = exported(built) / "llamafactory"
    info = json.loads((folder / "dataset_info.json").read_text())
    assert info["codedpo_dpo"]["ranking"] is True
    assert info["codedpo_kto"]["columns"]["kto_tag"] == "label"
    for entry in info.values():
        row = json.loads((folder / entry["file_name"]).read_text().splitlines()[0])
        assert all(column in row for column in entry["columns"].values())
        assert isinstance(row["prompt"], str)


def test_the_axolotl_entry_points_at_the_data(built: Recipe) -> None:
    entry = yaml.safe_load((exported(built) / "axolotl.yaml").read_text())
    assert Path(entry["datasets"][0]["path"]).exists()
    assert entry["rl"] == "dpo"


def test_no_pair_has_two_equal_texts(tmp_path: Path) -> None:
    """Programs that differ in behaviour but whose responses read the same teach nothing."""
    same = ["the same answer"] * len(SIGN["solutions"])
    recipe = make_recipe(tmp_path, [SIGN | {"responses": same}])
    with pytest.raises(InputError, match="no problem gave a pair"):
        pipeline.build(recipe, (1, 1), Console(quiet=True))
    assert (recipe.output / "more.jsonl").exists()  # written also without any pair


def test_a_target_precision_drops_the_least_confident_pairs(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, [DOUBLE, SIGN])
    pipeline.build(recipe, (1, 1), Console(quiet=True))
    confidences = [
        pair["confidence"] for row in read_rows(recipe.output, "pairs") for pair in row["pairs"]
    ]
    target = (max(confidences) + np.mean(confidences)) / 2
    stricter = recipe.model_copy(
        update={"pairs": recipe.pairs.model_copy(update={"target_precision": target})}
    )
    least = export.least_confidence(stricter, 1)
    assert np.mean([value for value in confidences if value >= least]) >= target
    assert np.mean(sorted(confidences)[:1]) < least


def test_a_failed_export_keeps_the_old_dataset(built: Recipe) -> None:
    dataset = exported(built)
    before = read(dataset, "dpo")
    with pytest.raises(InputError):
        exported(built, text="response")
    assert read(dataset, "dpo") == before


@pytest.mark.parametrize("config", export.CONFIGS)
def test_datasets_loads_every_config(built: Recipe, config: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install 'codedpo[train]'")
    dataset = exported(built)
    loaded = datasets.load_dataset(str(dataset), config, cache_dir=str(tmp_path))
    assert sum(len(split) for split in loaded.values()) == len(read(dataset, config))


class Hub(http.server.BaseHTTPRequestHandler):
    """A stand-in for the hub: takes a commit, remembers what it was sent."""

    def do_POST(self) -> None:
        self.answer()

    do_GET = do_PUT = do_POST

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((self.command, self.path, body))  # type: ignore[attr-defined]
        if self.server.broken:  # type: ignore[attr-defined]
            return self.reply(500, {"error": "out of order"})
        if self.path.endswith("/repos/create"):
            return self.reply(200, {"url": "https://huggingface.co/datasets/me/pairs"})
        if "/preupload/" in self.path:
            files = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                     for f in json.loads(body)["files"]]  # fmt: skip
            return self.reply(200, {"files": files})
        if "/commit/" in self.path:
            return self.reply(
                200,
                {
                    "commitUrl": "https://huggingface.co/datasets/me/pairs/commit/1",
                    "commitOid": "1",
                },
            )
        return self.reply(200, {"id": "me/pairs", "siblings": [], "sha": "1"})

    def reply(self, status: int, data: dict[str, Any]) -> None:
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stub_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.requests, server.broken = [], False  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    import huggingface_hub

    address = f"http://127.0.0.1:{server.server_port}"
    api = huggingface_hub.HfApi
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api(endpoint=address, token="hf_test"))
    yield server
    server.shutdown()


def test_push_sends_the_dataset_to_the_hub(built: Recipe, stub_hub: Any) -> None:
    hub.push(exported(built), "me/pairs", private=True)
    (create,) = [json.loads(b) for _, path, b in stub_hub.requests if path.endswith("/create")]
    assert (create["name"], create["type"]) == ("pairs", "dataset")
    assert create.get("private") is True or create.get("visibility") == "private"  # hub 1, hub 2
    (commit,) = [body for _, path, body in stub_hub.requests if "/commit/" in path]
    sent = {
        line["value"]["path"]
        for line in map(json.loads, commit.splitlines())
        if line["key"] == "file"
    }
    assert {"README.md", "dpo/train.jsonl", "llamafactory/dataset_info.json"} <= sent


def test_a_hub_that_refuses_is_one_clear_error(built: Recipe, stub_hub: Any) -> None:
    stub_hub.broken = True
    with pytest.raises(InfrastructureError, match=r"(?s)push to me/pairs failed.*complete in"):
        hub.push(exported(built), "me/pairs", private=True)
