"""Fixtures of the tests of training."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random model with its tokenizer."""
    pytest.importorskip("transformers", reason="pip install 'codedpo[train]'")
    from helpers.random_model import save

    return save(tmp_path_factory.mktemp("model"))
