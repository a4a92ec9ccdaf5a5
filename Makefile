# Attention Is All You Need, Rebuilt. Each target sets up .venv first, where it is missing or old.
.PHONY: help book test test-pages pdf chromium test-notebooks test-torchtext lint tangle \
	reference notebooks bench serve clean
PY := .venv/bin/python
PYTEST := $(PY) -m pytest -q
# chapters, a line each: no letters, no percentages, no list of what was skipped
EXECUTE := OMP_NUM_THREADS=2 $(PYTEST) -qrN -o console_output_style=classic
CHAPTERS := intro.md chapters# or some: make reference CHAPTERS=chapters/model/attention.md

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /make \1|/p' Makefile | column -t -s '|' 2>/dev/null || \
		sed -n 's/^\([a-z-]*\):.*## /make \1: /p' Makefile

book: .venv/ready ## the pages, in _build/html
	@$(PY) tools/tangle.py --check
	@$(PY) -m tools.store
	@$(EXECUTE) --missing $(CHAPTERS)
	@.venv/bin/jupyter-book build . --quiet --all -W -n --keep-going > /dev/null
	@$(PYTEST) tests/test_book.py
	@echo "The book is at _build/html/index.html: open it in a browser, or: make serve"

test: lint ## package, prose and printed outputs agree
	@OMP_NUM_THREADS=1 $(PYTEST) tests -n 2 --ignore=tests/test_book.py \
		--ignore=tests/test_pages_in_browser.py --ignore=tests/test_printed.py
	@$(EXECUTE) $(CHAPTERS)

test-pages: chromium ## the built pages in Chromium: two themes, three widths, on paper; the PDF
	@$(PYTEST) tests/test_pages_in_browser.py tests/test_printed.py -n 2

pdf: chromium ## the main path of the built pages as one PDF, in _build/html
	@$(PY) tools/pdf.py

chromium: .venv/pages
	@command -v chromium > /dev/null || $(PY) -m playwright install chromium

test-notebooks: .venv/ready .venv-notebooks/ready ## each notebook alone, with what its first cell installs
	@$(PY) tools/run_notebooks.py $(CHAPTERS)

test-torchtext: .venv-torchtext/ready ## the package on torch 2.3, and torchtext with it
	OMP_NUM_THREADS=2 PYTHONPATH=$(CURDIR) .venv-torchtext/bin/python -m pytest -q --noconftest \
		-o addopts= tests/test_main.py \
		$(wildcard $(patsubst %.py,tests/test_%.py,$(notdir $(wildcard annotated/*.py annotated/*/*.py))))

lint: .venv/ready ## drift between chapters and package, style, types
	@$(PY) tools/tangle.py --check
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) tools/lint.py
	@$(PY) -m mypy

tangle: .venv/ready ## annotated/ from the chapters
	$(PY) tools/tangle.py

reference: .venv/ready ## tests/reference/*.json from the chapters as they are: look at the diff
	@$(EXECUTE) --write-reference $(CHAPTERS)

notebooks: .venv/ready ## the chapters for Colab, in _build/notebooks
	$(PY) tools/notebooks.py

bench: .venv/ready ## speed beside torch.nn.Transformer, Marian, CTranslate2, in results/ (an hour)
	$(PY) -m pip install --disable-pip-version-check --quiet -c requirements.txt \
		-r requirements-bench.txt
	$(PY) -m tools.bench train --record results/bench-training.json
	$(PY) -m tools.bench ladder --record results/bench-ladder.json
	$(PY) -m tools.bench growth --record results/bench-growth.json
	$(PY) -m tools.bench threads --record results/bench-threads.json
	$(PY) -m tools.bench layers --record results/layers.json
	$(PY) -m tools.bench decode --record results/bench-decoding.json
	$(PY) -m tools.bench bleu --record results/bench-bleu.json

serve: .venv/ready ## the built book on http://127.0.0.1:8000
	$(PY) -m http.server --bind 127.0.0.1 --directory _build/html 8000

clean: ## remove all that was built, but not .venv
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find annotated tools tests chapters -name __pycache__ -prune -exec rm -rf {} +

.venv/ready: requirements.txt pyproject.toml tools/setup.sh
	sh tools/setup.sh

.venv/pages: requirements-pages.txt .venv/ready
	$(PY) -m pip install --disable-pip-version-check --quiet -c requirements.txt \
		-r requirements-pages.txt
	touch .venv/pages

.venv-notebooks/ready: .venv/ready # a plain Jupyter
	$(PY) -m venv --clear .venv-notebooks
	echo '*' > .venv-notebooks/.gitignore # as newer Pythons do
	.venv-notebooks/bin/python -m pip install --disable-pip-version-check --quiet \
		-c requirements.txt ipykernel
	touch .venv-notebooks/ready

.venv-torchtext/ready: requirements-torchtext.txt tools/torchtext.sh
	sh tools/torchtext.sh
