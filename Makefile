# The book's doors. Each makes the .venv that it needs; Python 3.11 and make are enough.
PYTHON ?= python3
BIN := .venv/bin
SWEEPS := $(wildcard chapters/*sweep.ipynb)
CHAPTERS := $(filter-out $(SWEEPS),$(sort $(wildcard chapters/*.ipynb)))

.DEFAULT_GOAL := help
.PHONY: help book install test test-kills test-machines chapters replicate bench lock clean

help: ## list what make can do
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

book: $(if $(shell command -v quarto),,.venv/renderer) ## render the website and the PDF into _book/ from stored outputs
	@if command -v quarto >/dev/null; then \
		quarto render --no-execute && echo "quarto $$(quarto --version): _book/index.html, _book/latent-to-data.pdf"; \
	else $(BIN)/python -m embedded; fi

install: .venv/everything ## make .venv with all that the chapters, the sweeps and the tests need

test: .venv/everything ## test the module, the stored data, the chapters, the built site and the PDF
	$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@# The chapters run beside the module's tests, each on a core of its own; their report comes last. PyTorch's second
	@# thread brings arrays this small nothing, and waits long for a core that is busy. A shell makes what is in its
	@# background deaf to Ctrl-C, so it is ended by hand.
	@export OMP_NUM_THREADS=1; $(BIN)/python -m pytest --nbval --nbval-current-env $(CHAPTERS) >.venv/chapters.log 2>&1 & chapters=$$!; \
	trap 'kill $$chapters; exit 130' INT; $(BIN)/python -m pytest tests; tests=$$?; wait $$chapters; chapters=$$?; cat .venv/chapters.log; exit $$((tests + chapters))

test-kills: .venv/everything ## SIGKILL a sweep at 100 random moments, in full
	KILLS=100 $(BIN)/python -m pytest -k sigkill tests/test_store.py

test-machines: .venv/everything ## what a processor, fonts, a locale or a folder could decide, on machines simulated here
	$(BIN)/python tests/machines.py

chapters: .venv/everything ## execute every chapter but the sweep with papermill, in place
	$(BIN)/python -m companion.studies.collapse
	@for chapter in $(notdir $(CHAPTERS)); do \
		$(BIN)/papermill --no-progress-bar --cwd chapters chapters/$$chapter chapters/$$chapter || exit 1; done
	@# When and how long a cell ran is no result: it stays out of the stored notebooks.
	$(BIN)/nbstripout --keep-output --keep-count --extra-keys "metadata.papermill cell.metadata.papermill cell.metadata.execution" $(CHAPTERS) $(SWEEPS)
	$(BIN)/python -m companion.show.findings

replicate: .venv/everything ## everything from nothing: the sweeps, chapters, book
	$(BIN)/papermill --cwd data chapters/sweep.ipynb chapters/sweep.ipynb
	$(BIN)/papermill --cwd data chapters/sweep.ipynb powered.out.ipynb -f data/powered.yaml
	$(BIN)/papermill --cwd data chapters/sweep.ipynb temperature.out.ipynb -f data/temperature.yaml
	$(BIN)/papermill --cwd data chapters/sweep.ipynb strength.out.ipynb -f data/strength.yaml
	for part in attractors attractors-chamfer-transport attractors-balance attractors-annealed attractors-strength; do \
		$(BIN)/papermill --cwd data chapters/sweep.ipynb $$part.out.ipynb -f data/$$part.yaml || exit 1; done
	$(BIN)/papermill --cwd data chapters/sweep.ipynb plain.out.ipynb -p engine torch -p workers 2 -p out plain.parquet
	$(BIN)/papermill --cwd data chapters/space-sweep.ipynb space.out.ipynb -f data/space.yaml
	$(BIN)/papermill --cwd data chapters/space-sweep.ipynb space-ridge.out.ipynb -f data/space-ridge.yaml
	$(BIN)/papermill --cwd data chapters/space-sweep.ipynb tables.out.ipynb -f data/tables.yaml
	$(BIN)/papermill --cwd data chapters/memory-sweep.ipynb memory.out.ipynb -f data/memory.yaml
	$(BIN)/python -m companion.studies.motion
	$(BIN)/python -c "from vl_convert import javascript_bundle as bundle; open('assets/vega.js', 'w', encoding='utf-8').write(bundle())"
	$(MAKE) chapters
	$(MAKE) book

bench: .venv/bench ## the fast engine against what a user would otherwise write; writes data/benchmarks.json
	$(BIN)/python -m benchmarks

lock: ## write the versions in .venv to requirements.lock
	$(BIN)/pip freeze --exclude-editable $(patsubst %,--exclude %,$(shell sed -n 's/==.*//p' benchmarks/requirements.txt)) | sed 's/+cpu//' > requirements.lock

clean: ## remove .venv and _book
	rm -rf .venv _book

.venv/bin/python:
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed; make PYTHON=... names one')"
	$(PYTHON) -m venv .venv

.venv/renderer: requirements.lock | .venv/bin/python
	$(BIN)/pip install --quiet --constraint requirements.lock pypandoc_binary typst pyyaml
	@touch $@

.venv/everything: requirements.lock pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@ .venv/renderer

.venv/bench: benchmarks/requirements.txt .venv/everything
	$(BIN)/pip install --quiet --constraint requirements.lock --requirement benchmarks/requirements.txt
	@touch $@
