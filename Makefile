# `make` alone lists what can be done. Every target does its own set-up and can be run again.
.DEFAULT_GOAL := help
.PHONY: help setup demo lint golden faults differential mutants crash bench test
PYTHON := .venv/bin/python

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is needed (Debian packages, virtual environment); start and remove nothing
	@scripts/setup

demo: setup ## Grow the pilot's twin, put the declared network on it, audit it, show the verdict
	@scripts/demo

lint: setup ## Check style and types
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy

golden: setup ## Render the golden configurations anew; read what changed before keeping it
	$(PYTHON) tests/golden/test_rendered_configurations.py

faults: export CLOISON_LAB := faults
faults: setup ## Break a twin in every way of the catalogue, audit it whole each time, write docs/faults.md (two hours)
	.venv/bin/cloison lab up
	.venv/bin/cloison apply --yes >/dev/null
	$(PYTHON) scripts/faults
	.venv/bin/cloison lab down

differential: setup ## Compare the proof of packet filters with the kernel, over 500 random rule sets (minutes, root)
	CLOISON_DIFFERENTIAL=500 $(PYTHON) -m pytest tests/lab/test_filter_differential.py
	CLOISON_DIFFERENTIAL=200 $(PYTHON) -m pytest tests/lab/test_switch_differential.py tests/lab/test_kernel_routing.py

mutants: setup ## Change the rendered configuration in every small way, prove each, write docs/mutants.md (ten minutes)
	$(PYTHON) scripts/mutants

crash: setup ## Injure a change at every step on twins of its own, write docs/crash.md (an hour or two)
	$(PYTHON) scripts/crash

bench: setup ## Measure how the cost grows, with the communes and with the rules (minutes)
	$(PYTHON) benchmarks/growth.py
	$(PYTHON) benchmarks/algebra.py
	$(PYTHON) benchmarks/proof.py
	$(PYTHON) benchmarks/transaction.py

# Whatever a test does with a twin, it is not the one of `make demo`.
test: export CLOISON_LAB := test
test: lint ## Check style and types, then run every test, with a twin of their own
	$(PYTHON) -m pytest
