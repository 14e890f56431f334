# Everything one runs from a checkout. `make` alone lists the targets.
#
#   PYTHON  interpreter to build the environment with (3.11 or newer)
#   VENV    folder of the environment; empty: install nothing, run PYTHON with the packages it has
#   ARGS    further arguments of the script or of pytest, e.g. make stages ARGS="--help"
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

PY_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
CONSTRAINTS := $(wildcard .ci/constraints-$(PY_VERSION).txt)
PIP_INSTALL = $(VENV)/bin/python -m pip install -q --disable-pip-version-check $(addprefix -c ,$(CONSTRAINTS))
GPU_WHEELS = tyro docstring-parser typeguard h5netcdf

ifeq ($(strip $(VENV)),)
  # wheels that `make wheels` fetched elsewhere are imported as they are
  FETCHED := $(shell printf ':%s' $(wildcard .wheels/*.whl))
  RUN = PYTHONPATH=".$(if $(wildcard .wheels/*.whl),$(FETCHED))$${PYTHONPATH:+:$$PYTHONPATH}" $(PYTHON)
  CORE = check-python
  DEV = check-python
  NOTEBOOK = check-python
else
  RUN = $(VENV)/bin/python
  CORE = $(VENV)/.core-stamp
  DEV = $(VENV)/.dev-stamp
  NOTEBOOK = $(VENV)/.notebook-stamp
endif

# Containers tend to forbid byte code, and then every process compiles all sources again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install stages figures documents notebooks notebook-packages notebooks-run checks checks-quick test \
  test-slow bench lint types wheels clean check-python

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'
	@echo 'Variables: PYTHON=$(PYTHON) VENV=$(VENV) (empty: install nothing) ARGS="further arguments" VERIFY=1 (checks)'

install: $(CORE) ## Build the environment; then: source .venv/bin/activate
	@echo '$(if $(strip $(VENV)),ready: source $(VENV)/bin/activate,nothing to install: $(PYTHON) runs with its own packages)'

stages: $(CORE) ## Main experiment: the training stages of a simulated run
	$(RUN) experiments/stage_tracking.py $(ARGS)

figures: $(CORE) ## Draw the committed figures from their data; with ARGS="--simulate" renew the data first
	$(RUN) -m experiments.make_figures $(ARGS)

documents: $(CORE) ## Write the documents whose numbers come from figures/data/
	$(RUN) -m experiments.make_documents $(ARGS)

# JupyterLab, asked for by exact version here and nowhere else, is only needed to open them.
notebooks: $(NOTEBOOK) ## Open the notebooks in JupyterLab
	$(if $(strip $(VENV)),@$(PIP_INSTALL) jupyterlab==4.6.6)
	$(RUN) -m experiments.notebooks open $(ARGS)

notebook-packages: $(NOTEBOOK) ## Install what notebooks need

notebooks-run: $(NOTEBOOK) ## Run the notebooks from top to bottom (two minutes)
	$(RUN) -m experiments.notebooks run $(ARGS)

checks: $(CORE) ## Every statement of the theory as a check (an hour); VERIFY=1 computes the committed report again
	$(RUN) -m paper_checks $(if $(VERIFY),--verify) $(ARGS)

checks-quick: $(CORE) ## The same checks with few seeds and sizes (four minutes)
	$(RUN) -m paper_checks --preset quick $(ARGS)

# Two processes at most: each compiles for itself, and a test file stays in one of them. They begin with the files that
# take longest, in the order of tests/conftest.py.
test: $(DEV) ## Fast tests (a few minutes)
	$(RUN) -m pytest -q -n auto --maxprocesses=2 --dist loadfile --no-loadscope-reorder --durations=10 $(ARGS)

# pytest's status 5 means that no test was selected.
test-slow: $(DEV) ## Slow tests
	$(RUN) -m pytest -q -m slow -n auto --maxprocesses=2 --dist loadfile --no-loadscope-reorder --durations=10 $(ARGS) \
	  || test $$? -eq 5

# The tests' strict settings would slow the engine down, so their conftest.py is left out.
# PyTorch, the peer, is asked for by exact version here and nowhere else: a bare "torch" brings gigabytes.
bench: $(DEV) ## Time the engine and training on images against PyTorch and the machine
	$(if $(strip $(VENV)),@$(VENV)/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0)
	@mkdir -p results
	$(RUN) -m pytest tests/benchmarks/bench_step.py tests/benchmarks/bench_images.py -p tests.benchmarks.reporting \
	  --noconftest -o addopts= -o timeout=0 -W default -q \
	  --import-mode=importlib --benchmark-columns=median,iqr,rounds --benchmark-sort=name \
	  --benchmark-group-by=group --benchmark-json=results/bench.json $(ARGS)

lint: $(DEV) ## Style and format, nothing is changed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(DEV) ## Static types
	$(RUN) -m mypy dynsim experiments paper_checks

wheels: $(CORE) ## Fetch into .wheels/ what an offline GPU machine tends to lack
	$(RUN) -m pip download -q --disable-pip-version-check --no-deps $(addprefix -c ,$(CONSTRAINTS)) -d .wheels $(GPU_WHEELS)

clean: ## Remove the environment and the caches, keep results/
	@if [ -n "$(strip $(VENV))" ] && [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	rm -rf .wheels .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .coverage htmlcov build dist
	@find $(wildcard dynsim experiments paper_checks tests) -name __pycache__ -type d -prune -exec rm -rf {} +

# One line and no traceback where the interpreter is missing, too old, or not the one of the environment.
check-python:
	@case '$(PY_VERSION)' in \
	  '') echo 'PYTHON=$(PYTHON) does not run; set PYTHON to Python 3.11 or newer' >&2; exit 1;; \
	  [0-2].*|3.[0-9]|3.10) echo 'wanted Python 3.11 or newer, but PYTHON=$(PYTHON) is $(PY_VERSION)' >&2; exit 1;; \
	esac
	@if [ -n "$(strip $(VENV))" ] && [ -f "$(VENV)/pyvenv.cfg" ] && \
	    ! grep -Eq '^version(_info)? *= *$(subst .,\.,$(PY_VERSION))\.' "$(VENV)/pyvenv.cfg"; then \
	  echo '$(VENV) was not made by Python $(PY_VERSION); run make clean, or name another folder in VENV' >&2; exit 1; fi

# pip would compile all modules to byte code one after the other; -j 0 takes all cores.
# Tests of the libraries are left out. Modules that this Python cannot compile are skipped: nothing imports them.
COMPILE = $(VENV)/bin/python -m compileall -qq -j 0 -x 'site-packages/.*/tests?/' $(VENV)/lib || true
# The packages of an extra are read from pyproject.toml: asking pip for ".[dev]" would build dynsim itself once more.
EXTRA = $(VENV)/bin/python -c 'import sys, tomllib; \
  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"][sys.argv[1]], sep="\n")'

ifneq ($(strip $(VENV)),)
$(VENV)/.core-stamp: pyproject.toml $(CONSTRAINTS) | check-python
	@test -n '$(CONSTRAINTS)' || echo 'no tested versions for Python $(PY_VERSION): installing the newest ones'
	@echo 'installing dynsim into $(VENV) (a minute or two, about 1 GB)'
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --no-compile -e .
	@$(COMPILE)
	@touch $@

$(VENV)/.dev-stamp: $(VENV)/.core-stamp
	@echo 'installing the test and style tools into $(VENV)'
	@$(EXTRA) dev >$(VENV)/dev.txt && $(PIP_INSTALL) --no-compile -r $(VENV)/dev.txt
	@$(COMPILE)
	@touch $@

$(VENV)/.notebook-stamp: $(VENV)/.core-stamp
	@echo 'installing what notebooks need into $(VENV)'
	@$(EXTRA) notebook >$(VENV)/notebook.txt && $(PIP_INSTALL) --no-compile -r $(VENV)/notebook.txt
	@$(COMPILE)
	@touch $@
endif
