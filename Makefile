# Every target makes its own virtual environment first; nothing but Python 3.11 or later is needed.
PYTHON ?= python3
# The CPU wheel where one is at hand; any torch >= 2.11 will do.
TORCH ?= torch==2.13.0

.PHONY: install install-dev quickstart ablations example test test-server test-ray test-faults test-launch test-axolotl test-llamafactory lint clean

install: .venv/installed

install-dev: .venv/installed-dev

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --editable .
	touch $@

.venv/installed-dev: .venv/installed
	.venv/bin/pip install --quiet $(TORCH)
	.venv/bin/pip install --quiet --editable '.[dev,sample,deepspeed,remote,slurm]'
	touch $@

quickstart: install-dev  ## the whole loop: a tiny coder improves itself; under ten minutes on two cores
	PATH="$(CURDIR)/.venv/bin:$$PATH" bash recipes/tiny/quickstart.sh

ablations: install-dev  ## the paper's ablations with the tiny coder; writes docs/experiments.md
	.venv/bin/python recipes/tiny/ablations.py runs/tiny/ablations

example: install  ## build a preference dataset from the samples in examples/
	.venv/bin/codedpo build recipes/build/example.yaml

test: install-dev lint  ## lint, types and the test suite
	.venv/bin/pytest

# The stacks exclude one another: an environment for each, made once (4.4 and 2.1 GB).
.venv-axolotl/installed: pyproject.toml
	$(PYTHON) -m venv .venv-axolotl
	.venv-axolotl/bin/pip install --quiet $(TORCH)
	.venv-axolotl/bin/pip install --quiet axolotl==0.19.0
	.venv-axolotl/bin/pip install --quiet --editable . pytest
	touch $@

# LLaMA-Factory imports torchaudio and wants torchvision; where torch is the CPU wheel, those of PyPI
# do not load, and these stand in for them.
.venv-llamafactory/installed: pyproject.toml
	$(PYTHON) -m venv .venv-llamafactory
	.venv-llamafactory/bin/pip install --quiet $(TORCH) setuptools
	.venv-llamafactory/bin/pip install --quiet ./tests/helpers/stubs/torchaudio ./tests/helpers/stubs/torchvision
	.venv-llamafactory/bin/pip install --quiet llamafactory==0.9.5
	.venv-llamafactory/bin/pip install --quiet --editable . pytest
	touch $@

test-launch: install-dev  ## accelerate's launcher on two nodes, offload, rounds of training; some minutes
	.venv/bin/pytest -m launch

test-axolotl: .venv-axolotl/installed  ## the plugin and its recipes in Axolotl itself
	.venv-axolotl/bin/pytest tests/training/test_axolotl.py

test-llamafactory: .venv-llamafactory/installed  ## the recipes in LLaMA-Factory itself
	.venv-llamafactory/bin/pytest tests/training/test_llamafactory.py

test-server: install-dev  ## from sources to a dataset with a real server; some minutes
	.venv/bin/pytest -m server -s

test-ray: install-dev  ## a Ray cluster of two nodes, with kills; as root, some minutes
	.venv/bin/pip install --quiet --editable '.[ray]'
	.venv/bin/pytest -m ray -s

test-faults: install-dev  ## 50 kills, full disk, damaged shards, jumping clock; as root, some minutes
	.venv/bin/pytest -m faults -s

lint: install-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

clean:
	rm -rf .venv .venv-axolotl .venv-llamafactory runs
