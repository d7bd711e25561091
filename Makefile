PYTHON ?= python3
TASK ?= classify
ARGS ?=
BIN := .venv/bin

.PHONY: help setup train test test-torchtext docs

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

setup: .venv/ready ## make .venv with the tested set of versions

train: setup ## train: make train TASK=translate ARGS="data=multi30k"
	@$(BIN)/python train.py task=$(TASK) $(ARGS)

test: setup ## lint, check types and run the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

docs: setup ## build the documentation: site/index.html, readable without a network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# ARGS="-m ''" undoes -m "not slow": the whole suite
test-torchtext: ## run the tests with torch 2.3 and torchtext, in their own environment
	python=$$(PYTHON=$(PYTHON) scripts/torchtext_environment.sh) && LSTM_READOUT_LANE=torchtext \
	  $$python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)
