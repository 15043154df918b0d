# The book's doors. Each makes the .venv that it needs; Python 3.11 and make are enough.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip
# A reader's own settings of where pip installs and Python imports are for other environments than this one.
export PIP_USER := 0
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PYTHONPATH PYTHONHOME PYTHONSAFEPATH
# Tests run in several processes, and the second reads what the first compiled; set, even to 0, Python would keep nothing.
export PYTHONDONTWRITEBYTECODE :=
SWEEPS := $(wildcard chapters/*sweep.ipynb)
# Chapters that take half a minute each: `make test` sees whether they are stale, `make test-slow` executes them.
SLOW_CHAPTERS := $(patsubst %,chapters/%.ipynb,14-chance 21-holding 25-attractor 91-engine)
CHAPTERS := $(filter-out $(SWEEPS) $(SLOW_CHAPTERS),$(sort $(wildcard chapters/*.ipynb)))
# Chapters' kernels are forked from a process that has done their imports (tests/warm.py).
NBVAL := -p warm --nbval --nbval-current-env

.DEFAULT_GOAL := help
.PHONY: help book install style check quick test test-slow test-inputs coverage test-machines chapters replicate bench lock clean

help: ## list what make can do
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

# The extra `quarto` of pyproject.toml puts Quarto into .venv.
QUARTO := $(or $(shell command -v quarto),$(wildcard $(BIN)/quarto))

book: $(if $(QUARTO),,.venv/renderer) ## render the website and the PDF into _book/ from stored outputs
	@if [ -n "$(QUARTO)" ]; then \
		"$(QUARTO)" render --no-execute && echo "quarto $$("$(QUARTO)" --version): _book/index.html, _book/latent-to-data.pdf"; \
	else $(BIN)/python -m embedded; fi

install: .venv/everything ## make .venv with all that the chapters, the sweeps and the tests need

# Tests of a file, and cells of a chapter, stay together; PyTorch's second thread brings arrays this small nothing.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

style: .venv/everything ## style and types
	$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	$(BIN)/pyright --warnings

check: .venv/everything ## in a minute and a half: style, types, tests that are quick and open no page, chapters that are stale
	@# Side by side: the type checker leaves one core idle half the time, tests that wait leave both.
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target style quick

quick: .venv/everything
	$(PYTEST) -m "not slow and not long and not page" tests

test: style ## all but the slow tests: the module, the stored data, the chapters, the built site and the PDF
	PYTHONPATH=tests $(PYTEST) $(NBVAL) -m "not slow" tests $(CHAPTERS)

test-slow: .venv/everything ## the slow tests and chapters: SIGKILL at 100 moments, Ctrl-C, Dask, 480,000 runs, whole tables again
	KILLS=100 $(PYTEST) -m slow tests
	PYTHONPATH=tests $(PYTEST) $(NBVAL) $(SLOW_CHAPTERS)

test-inputs: .venv/everything ## generated inputs by the thousand: a result or one error in words
	INPUTS=100 $(PYTEST) tests/test_inputs.py

coverage: .venv/everything ## which lines of the module its tests run; compiled ones do not count
	$(PYTEST) -m "not slow and not page" --cov --cov-report=term:skip-covered tests

test-machines: .venv/everything ## what a processor, fonts, a locale or a folder could decide, on machines simulated here
	$(BIN)/python tests/machines.py

chapters: .venv/everything ## compute the prose's numbers and execute the chapters that read something else than when this was last done
	$(BIN)/python -m companion.studies.variables
	$(BIN)/python -m companion.show.chapters
	$(BIN)/python -m companion.studies.findings

replicate: .venv/everything ## everything from nothing: the sweeps, chapters, book
	$(BIN)/papermill --cwd data chapters/sweep.ipynb chapters/sweep.ipynb
	$(BIN)/papermill --cwd data chapters/sweep.ipynb powered.out.ipynb -f data/powered.yaml
	$(BIN)/papermill --cwd data chapters/sweep.ipynb temperature.out.ipynb -f data/temperature.yaml
	$(BIN)/papermill --cwd data chapters/sweep.ipynb ledger.out.ipynb -f data/ledger.yaml
	$(BIN)/papermill --cwd data chapters/sweep.ipynb ledger-temperature.out.ipynb -f data/ledger-temperature.yaml
	$(BIN)/papermill --cwd data chapters/sweep.ipynb strength.out.ipynb -f data/strength.yaml
	for part in attractors attractors-chamfer-transport attractors-balance attractors-annealed attractors-strength; do \
		$(BIN)/papermill --cwd data chapters/sweep.ipynb $$part.out.ipynb -f data/$$part.yaml || exit 1; done
	$(BIN)/papermill --cwd data chapters/sweep.ipynb plain.out.ipynb -p engine torch -p workers 2 -p out plain.parquet
	$(BIN)/papermill --cwd data chapters/space-sweep.ipynb space.out.ipynb -f data/space.yaml
	$(BIN)/papermill --cwd data chapters/space-sweep.ipynb space-ridge.out.ipynb -f data/space-ridge.yaml
	$(BIN)/papermill --cwd data chapters/space-sweep.ipynb tables.out.ipynb -f data/tables.yaml
	$(BIN)/papermill --cwd data chapters/memory-sweep.ipynb memory.out.ipynb -f data/memory.yaml
	for sample in neighbours sobol transport strength-temperature start-overlap separation-temperature; do \
		$(BIN)/papermill --cwd data chapters/multiverse-sweep.ipynb multiverse.out.ipynb -f data/multiverse-$$sample.yaml || exit 1; done
	for study in motion collapse power budget rounding whose readers space multiverse explorer; do $(BIN)/python -m companion.studies.$$study || exit 1; done
	$(BIN)/python -c "from vl_convert import javascript_bundle as bundle; open('assets/vega.js', 'w', encoding='utf-8').write(bundle())"
	$(MAKE) chapters
	$(MAKE) book

bench: .venv/bench ## the fast engine against what a user would otherwise write; writes data/benchmarks.json
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.levels

lock: ## write the versions in .venv to requirements.lock
	$(PIP) freeze --exclude-editable $(patsubst %,--exclude %,$(shell sed -n 's/==.*//p' benchmarks/requirements.txt)) | sed 's/+cpu//' > requirements.lock

clean: ## remove .venv and _book
	rm -rf .venv _book

# Made anew where it was left half made, lost its Python or pip, or was moved with its folder: programs carry their path.
MADE_IN := $(shell test -x $(BIN)/python && ls .venv/lib/*/site-packages/pip/__main__.py >/dev/null 2>&1 && cat .venv/made-in)
ifneq ($(MADE_IN),$(shell pwd -P))
.PHONY: .venv/made-in
endif
.venv/made-in:
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed; make PYTHON=... names one')"
	$(PYTHON) -m venv --clear .venv
	@pwd -P > $@

.venv/renderer: requirements.lock .venv/made-in
	$(PIP) install --quiet --constraint requirements.lock pypandoc_binary typst pyyaml
	@touch $@

.venv/everything: requirements.lock pyproject.toml .venv/made-in
	$(PIP) install --quiet --requirement requirements.lock
	$(PIP) install --quiet --no-deps --editable .
	@touch $@ .venv/renderer

.venv/bench: benchmarks/requirements.txt .venv/everything
	$(PIP) install --quiet --constraint requirements.lock --requirement benchmarks/requirements.txt
	@touch $@
