# Every target makes its own virtual environment first; nothing but Python 3.11 or later is needed.
PYTHON ?= python3
# The CPU wheel where one is at hand; any torch >= 2.11 will do.
TORCH ?= torch==2.13.0

.PHONY: install install-dev quickstart test test-server lint clean

install: .venv/installed

install-dev: .venv/installed-dev

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --editable .
	touch $@

.venv/installed-dev: .venv/installed
	.venv/bin/pip install --quiet $(TORCH)
	.venv/bin/pip install --quiet --editable '.[dev,sample,train]'
	touch $@

quickstart: install  ## build a preference dataset from the example in examples/
	.venv/bin/codedpo build recipes/build/quickstart.yaml

test: install-dev lint  ## lint, types and the test suite
	.venv/bin/pytest

test-server: install-dev  ## from sources to a dataset with a real server; some minutes
	.venv/bin/pytest -m server -s

lint: install-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

clean:
	rm -rf .venv runs
