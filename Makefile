# Everything a newcomer runs. All that is installed goes into .venv, all that a run writes into .demo.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The interpreter that .venv is made with: PYTHON=… names another one.
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do \
	if $$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$each; break; fi; done)

# Without its compiled modules each of Airflow's processes takes seconds longer to start.
unexport PYTHONDONTWRITEBYTECODE
# Settings of another Airflow on this machine are none of ours.
unexport AIRFLOW_HOME

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-full full-faults full-others browser images matrix faults bench fuzz \
	check docs format dist constraints clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## make .venv and install what the other commands need

demo: $(READY) ## run the example DAG once on a real Airflow, then end
	@exec $(BIN)/python -m smartflows_provider.demo run

up: $(READY) ## the same, but Airflow's UI stays up until Ctrl-C
	@exec $(BIN)/python -m smartflows_provider.demo up

# Many tests wait for a while: more of them side by side than there are processors keep these busy.
test: $(READY) ## run every test that needs nothing else
	$(BIN)/python -m pytest -m "not full" --numprocesses 7 --dist loadfile --no-loadscope-reorder

# The fault suite mostly waits, beside it the other long tests run; figures are measured where nothing else does.
test-full: $(READY) browser ## run the tests that take longer: each fault of the fault suite once, small benchmarks
	$(BIN)/python -m pytest -m "full and e2e" --numprocesses 3 --dist loadfile
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target full-faults full-others
	$(BIN)/python -m pytest -m benchmark
	FUZZ_CASES=1000 $(BIN)/python -m pytest tests/fuzz

full-faults:
	$(BIN)/python -m pytest -m faults

full-others:
	$(BIN)/python -m pytest -m "full and not (e2e or faults or benchmark)"

# The tests of the UI drive a browser that is installed; where CI runs, they fail without one.
BROWSERS := chromium chromium-browser google-chrome-stable google-chrome
browser: ## install Chromium for the tests of the UI, as root on Debian or Ubuntu, if there is none
	@for each in $(BROWSERS); do if command -v $$each >/dev/null; then exit 0; fi; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing Chromium for the tests of the UI"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			chromium >/dev/null; \
	else \
		echo "There is no Chromium, and it can only be installed here by root with apt-get:" \
			"the tests of the UI are skipped (with CI=true they fail)." >&2; \
	fi

images: $(READY) browser ## renew the pages' pictures of Airflow's UI
	UI_IMAGES=1 $(BIN)/python -m pytest tests/ui -m full

# MATRIX="3.1 3.4" takes some versions, MATRIX_LAYERS="unit dag" or "quick" some tests.
matrix: $(READY) ## run the tests on every supported Airflow, each in a virtual environment of its own
	@$(BIN)/python -m matrix $(MATRIX) --layers "$(MATRIX_LAYERS)" \
		$(if $(filter command line environment,$(origin PYTHON)),--python $(PYTHON))

# AIRFLOW=3.4 runs the components of that Airflow, from the virtual environment that the matrix has for it.
FAULT_RUNS ?= 20
FAULT_MAPPED ?= 200
faults: $(READY) ## run each fault row 20 times, print the table (FAULT_RUNS=1, AIRFLOW=3.4)
	$(if $(AIRFLOW),FAULTS_PYTHON=$$($(BIN)/python -m matrix --interpreter $(AIRFLOW)) && export FAULTS_PYTHON &&) \
		FAULT_RUNS=$(FAULT_RUNS) FAULT_MAPPED=$(FAULT_MAPPED) $(BIN)/python -m pytest tests/faults -m faults

# The same seed and number give the same cases; what fails names them.
FUZZ_CASES ?= 100000
FUZZ_SEED ?= $(shell date +%s)
fuzz: $(READY) ## try 100,000 hostile cases with each fuzz target in two processes (FUZZ_CASES=…, FUZZ_SEED=…)
	@echo "$(FUZZ_CASES) cases for each target, seed $(FUZZ_SEED)"
	FUZZ_CASES=$(FUZZ_CASES) FUZZ_SEED=$(FUZZ_SEED) $(BIN)/python -m pytest tests/fuzz --numprocesses 2 \
		--dist load --timeout 0 --durations 0 --hypothesis-show-statistics

# ROWS names groups of rows; without it all are measured.
RUNS ?= 5
bench: $(READY) ## measure beside bare programs, print and renew the tables (ROWS="payload output", RUNS=9)
	$(BIN)/python -m benchmarks $(ROWS) --runs $(RUNS) --page docs/benchmarks.md

check: $(READY) ## lint, types and the import contracts of the layers
	$(BIN)/ruff check .
	$(BIN)/ruff check --select AIR --preview .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# One page after the other is read and written anew: what Sphinx keeps does not know of changed docstrings.
docs: $(READY) ## build the documentation's site below docs/_build; warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -n -E -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

format: $(READY) ## sort imports, mend what can be mended, format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The same tree gives the same files: hatchling dates all that it packs 2020, or as SOURCE_DATE_EPOCH says.
dist: $(READY) ## build sdist and wheel into dist/
	@rm -rf dist
	$(BIN)/python -m hatchling build

# Resolved for the oldest Python: what supports it supports the newer ones too.
constraints: $(READY) ## take the newest releases into constraints.txt
	@printf '%s\n' '# The releases that the tests run with, on Python 3.11 to 3.13.' \
		'# Renewed by `make constraints`; not meant for users of the package.' > $(VENV)/constraints.txt
	@echo uv | $(BIN)/uv pip compile -q --upgrade --python-version 3.11 --extra dev --no-annotate --no-header \
		pyproject.toml - >> $(VENV)/constraints.txt
	@mv $(VENV)/constraints.txt constraints.txt

clean: ## remove .venv, what runs have left, and caches
	rm -rf $(VENV) $(VENV)-* .demo .artefacts dist docs/_build docs/reference \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "No Python 3.11 or newer found$(if $(PYTHON), as $(PYTHON))." \
			"Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 \
		|| $(PYTHON) -m virtualenv -q --clear $(VENV) 2>/dev/null \
		|| uv venv -q --clear --seed --python $(PYTHON) $(VENV) 2>/dev/null \
		|| { rm -rf $(VENV); \
			echo "$(PYTHON) could not make a virtual environment; most often its module ensurepip is missing." >&2; \
			echo "On Debian or Ubuntu: apt-get install python3-venv. Elsewhere: install virtualenv or uv." >&2; \
			exit 1; }

# uv is quicker than pip; where only pip is configured to reach a package index, pip does it.
$(READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing the project and its needs into $(VENV) (about a minute the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt uv
	@$(BIN)/uv pip install -q --python $(BIN)/python --compile-bytecode -c constraints.txt -e '.[dev]' \
		|| $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)
