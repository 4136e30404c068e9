# Two commands for a newcomer: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
OUT    ?= out

.PHONY: demo test test-all lint fmt bench gallery clean
.DEFAULT_GOAL := help

help:
	@echo "make demo      set up, train examples/digits.net, draw and derive it into $(OUT)/"
	@echo "make test      set up and run the tests (a few minutes)"
	@echo "make test-all  the slow ones too"
	@echo "make lint      ruff and mypy"
	@echo "make gallery   draw every view of every example into $(OUT)/gallery, write docs/gallery.md"
	@echo "make bench     step times side by side with other frameworks (installs them)"

$(VENV)/demo.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[plot]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@

demo: $(VENV)/demo.stamp
	@BIN=$(BIN) OUT=$(OUT) sh scripts/demo.sh

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/typecheck.py

fmt: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks.steps

gallery: $(VENV)/dev.stamp
	$(BIN)/python scripts/make_gallery.py --out $(OUT)/gallery

clean:
	rm -rf $(VENV) $(OUT) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
