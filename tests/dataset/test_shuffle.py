"""Shuffling the lines of a file."""

from pathlib import Path

from codedpo_plugin.dataset.shuffle import shuffle_lines


def test_large_files_are_shuffled_pile_by_pile_and_keep_every_line(tmp_path: Path) -> None:
    lines = [f"{n} \u2028 {'x' * (n % 7)}\n" for n in range(1000)]
    orders = []
    for name in ("one.jsonl", "one.jsonl", "other.jsonl"):
        (tmp_path / name).write_text("".join(lines), encoding="utf-8", newline="\n")
        shuffle_lines(tmp_path / name, seed=0, pile_bytes=300)
        text = (tmp_path / name).read_text(encoding="utf-8")
        orders.append([line + "\n" for line in text.split("\n")[:-1]])
    assert all(sorted(order) == sorted(lines) for order in orders)
    assert orders[0] == orders[1] != orders[2]
    halves = [lines.index(line) >= 500 for line in orders[0][:500]]
    assert 200 < sum(halves) < 300, "the first half of the file is from everywhere"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.jsonl", "other.jsonl"]
