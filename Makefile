# Everything a person does with a checkout. `make help` lists the targets.
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
JOBS   ?= 2
DATA   ?= ../shared/data
BENCH  ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types architecture unit notebooks bench bench-serving lock wheelhouse airgap clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Create .venv with the pinned packages

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## Three parties train on real data, one applicant is scored
	$(BIN)/lianmo demo

test: lint types architecture unit notebooks ## All checks and all tests

lint: install ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## Static types, strict
	$(BIN)/mypy

architecture: install ## Rooms import one way
	$(BIN)/lint-imports

unit: install ## Tests, slow ones too
	$(BIN)/pytest -n $(JOBS)

notebooks: install ## Run the notebooks on small data
	LIANMO_NOTEBOOK_TREES=2 $(BIN)/pytest --nbmake notebooks

bench: install ## Speed and growth of the encrypted engine (BENCH=--full: a million rows)
	$(BIN)/python experiments/0002-engine/run.py --data $(DATA) $(BENCH)

bench-serving: install ## Latency and throughput of scoring, beside mlflow models serve, and a soak (minutes; BENCH=--quick)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python experiments/0020-serving/run.py --soak-seconds 600 --out runs/bench $(BENCH)

lock: ## Write requirements.lock anew from a fresh environment
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet hatchling editables '.[dev]'
	.venv-lock/bin/python -m pip freeze --exclude lianmo > requirements.lock
	rm -rf .venv-lock

wheelhouse: ## dist/wheelhouse: installs without any network, sums and install.sh with it
	PYTHON=$(PYTHON) deploy/wheelhouse.sh

airgap: ## Make a wheelhouse and install it with the network away (minutes)
	PYTHON=$(PYTHON) deploy/airgap.sh

clean: ## Remove what can be made again
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
