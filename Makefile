# Each target makes .venv when it is missing, and brings it up to date when pyproject.toml or constraints.txt changed.
#   make demo PYTHON=python3.12        another interpreter for a new .venv
#   make test PYTEST_ARGS="-k losses"  part of the tests
# On Linux the torch of PyPI comes with several GB of CUDA libraries. For a machine without a GPU:
#   make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?=
BIN := .venv/bin
STAMP := .venv/.ssavae-installed
DOCS_STAMP := .venv/.ssavae-docs-installed

.PHONY: install demo test test-slow lint docs numbers results bench bench-quality clean
.DEFAULT_GOAL := test

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt -e ".[all,test,dev]"
	touch $@

install: $(STAMP)  ## the package with all extras and the tools of development, into .venv

demo: $(STAMP)  ## train on the embedded digits, write pictures and a model to runs/demo
	$(BIN)/ssavae demo --out runs/demo

test: export OMP_NUM_THREADS = 1
test: $(STAMP)  ## everything but the tests marked slow: two workers with one thread each
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

test-slow: $(STAMP)  ## the tests marked slow, one after the other with all threads
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

lint: $(STAMP)  ## style, format, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	PYTHONPATH=src $(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python benchmarks/render.py --check

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt -e ".[docs]"
	touch $@

docs: $(DOCS_STAMP)  ## the site, into docs/_build/html: runs every tutorial, warnings are errors, no network; minutes
	$(BIN)/python benchmarks/render.py --check
	$(BIN)/python benchmarks/ages.py --check
	$(BIN)/python -m sphinx -b html -W --keep-going docs docs/_build/html

numbers: $(STAMP)  ## numbers of README and docs, rendered anew from benchmarks/results
	$(BIN)/python benchmarks/ages.py > /dev/null
	$(BIN)/python benchmarks/render.py

results: $(STAMP)  ## which results are older than the code that they measure; RERUN=plant runs one again
	$(BIN)/python benchmarks/ages.py $(if $(RERUN),--rerun $(RERUN))

bench: $(STAMP)  ## speed, memory and import time, into benchmarks/results/speed.json: minutes
	$(BIN)/python benchmarks/speed.py

bench-quality: $(STAMP)  ## train, judge and compare on real images, and seconds to quality: two hours
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/speed.py quality

clean:  ## caches and built packages; .venv and runs/ stay
	rm -rf build dist docs/_build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
