"""Shards exist whole or not at all, and no damage to one becomes a value."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from codedpo_plugin.errors import DamageError, InfrastructureError
from codedpo_plugin.recipe import Recipe
from codedpo_plugin.run_folder import candidates
from codedpo_plugin.run_folder.shards import (
    read_shard,
    shard_key,
    shard_path,
    write_shard,
)

QUIET = Console(quiet=True)


def test_no_flipped_bit_of_a_shard_becomes_a_value(tmp_path: Path, built: Recipe) -> None:
    whole = shard_path(built.output, "executions", 0).read_bytes()
    shard = tmp_path / "00000.parquet"
    for position in range(0, len(whole), 11):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        for written in (damaged, damaged[:position]):
            shard.write_bytes(written)
            with pytest.raises(DamageError, match=r"00000\.parquet.*`codedpo build` again"):
                read_shard(shard)
            assert not shard.exists(), "or it would count as finished"


def test_a_flipped_bit_of_a_footer_makes_no_key(tmp_path: Path, built: Recipe) -> None:
    whole = shard_path(built.output, "executions", 0).read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    shard = tmp_path / "00000.parquet"
    for position in range(1, footer, 11):
        damaged = bytearray(whole)
        damaged[-position] ^= 1 << position % 8
        shard.write_bytes(damaged)
        assert shard_key(shard) is None
        assert not shard.exists()


def test_other_readers_of_parquet_read_a_shard(built: Recipe) -> None:
    path = shard_path(built.output, "executions", 0)
    assert pq.read_table(path).to_pylist() == read_shard(path)


def test_a_full_disk_is_named_and_leaves_no_half_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "executions" / "00000.parquet"
    with pytest.raises(InfrastructureError, match="the disk is full; free some space"):
        write_shard(path, [], candidates.SCHEMA, "key")
    assert list(path.parent.iterdir()) == []
