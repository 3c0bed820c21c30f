# bayesrepair: `make demo` shows the main job, `make test` runs the tests; both make .venv first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
JOBS ?= 2

# Tests that need public data, a browser or JAX are left out where these are missing; the line before the tests says so.
BROWSER := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
JAX := $(wildcard .venv/lib/python*/site-packages/jax)
MARKS := not slow$(if $(BAYESREPAIR_DATA),, and not shared_data)$(if $(BROWSER),, and not browser)$(if $(JAX),, and not jax)
LEFT_OUT := slow tests (make test-slow)$(if $(BAYESREPAIR_DATA),,; shared_data (set BAYESREPAIR_DATA))$(if $(BROWSER),,; browser (install chromium))$(if $(JAX),,; jax ($(BIN)/pip install -c constraints.txt -e '.[jax]'))

.PHONY: demo test test-slow lint format notebooks data clean

demo: $(STAMP)
	$(BIN)/bayesrepair demo --out demo-out --force

test: $(STAMP)
	@echo "Left out: $(LEFT_OUT)"
	$(BIN)/python -m pytest -n $(JOBS) -m "$(MARKS)"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: $(STAMP)
	$(BIN)/python -m pytest tests/test_notebooks.py

data: $(STAMP)
	$(BIN)/python data/make.py

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 12) else f"bayesrepair needs Python 3.12 or newer; {sys.executable} is {v[0]}.{v[1]}. Try: make PYTHON=python3.13")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (a minute or more) ..."
	$(BIN)/python -m pip install -qq --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

clean:
	rm -rf .venv demo-out build *.egg-info .pytest_cache .mypy_cache .ruff_cache
