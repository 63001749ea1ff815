"""Stock lm_eval tasks on real text that is at hand offline, one of each request type, and ours around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROLLING = """
task: stock_rolling
custom_dataset: !function lm_eval_dispersion.corpora.demo_news
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: text
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
metadata: {version: 3.0}
"""
CHOICE = r"""
task: stock_choice
custom_dataset: !function lm_eval_dispersion.corpora.demo_mmlu
output_type: multiple_choice
test_split: test
fewshot_split: test
num_fewshot: 2
doc_to_text: "{{question}}\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc}, {metric: acc_norm}]
metadata: {version: 1.0}
"""
# One-token continuations of one context share a row of the batch.
LETTERS = CHOICE.replace("stock_choice", "stock_letters").replace("doc_to_choice: choices", "doc_to_choice: letters")
# The choices stand in the context, the continuation is the same: two prompts a document, as in winogrande.
CONTEXTS = r"""
task: stock_contexts
custom_dataset: !function lm_eval_dispersion.corpora.demo_mmlu
output_type: multiple_choice
test_split: test
doc_to_text: 0
doc_to_choice: ["{{'Question: '}}", "{{'Exercise: '}}"]
doc_to_target: " {{question}}"
metric_list: [{metric: acc}]
metadata: {version: 1.0}
"""
LAST_WORD = """
task: stock_last_word
custom_dataset: !function lm_eval_dispersion.corpora.demo_news
output_type: loglikelihood
test_split: test
doc_to_text: "{{text[:200]}}"
doc_to_target: "{{text[200:240]}}"
metric_list: [{metric: perplexity, aggregation: perplexity, higher_is_better: false}, {metric: acc}]
metadata: {version: 1.0}
"""
GENERATE = r"""
task: stock_generate
custom_dataset: !function lm_eval_dispersion.corpora.demo_mmlu
output_type: generate_until
test_split: test
doc_to_text: "{{question}}\nAnswer:"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["\n"], do_sample: false, max_gen_toks: 8}
filter_list:
  - {name: first-letter, filter: [{function: regex, regex_pattern: "([A-D])"}, {function: take_first}]}
  - {name: whole, filter: [{function: take_first}]}
metric_list: [{metric: exact_match}]
metadata: {version: 1.0}
"""
# Documents of several windows.
LONG = ROLLING.replace("stock_rolling", "stock_long").replace("demo_news", "demo_code")
STOCK = {
    "stock_rolling": ROLLING,
    "stock_choice": CHOICE,
    "stock_letters": LETTERS,
    "stock_last_word": LAST_WORD,
    "stock_generate": GENERATE,
}


def write_tasks(folder: Path, tasks: dict[str, str]) -> Path:
    """Each task's YAML and, around it, ours named ``recorded_*``; the folder is for ``--include_path``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tasks.items():
        (folder / f"{name}.yaml").write_text(text)
        (folder / f"{recorded(name)}.yaml").write_text(
            f"task: {recorded(name)}\nwraps: {name}\nclass: !function lm_eval_dispersion.DispersionTask\n"
        )
    return folder


def task_manager(*folders: Path, **options: Any) -> Any:
    """One that knows the tasks in these folders alone: to index all of lm_eval's takes eight seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=list(map(str, folders)), include_defaults=False, **options)


def recorded(name: str) -> str:
    """The name of ours around a stock task."""
    return name.replace("stock_", "recorded_")


EVERY = STOCK | {"stock_contexts": CONTEXTS, "stock_long": LONG}
