"""Makes ``results/`` again: each model, then ``lm_eval`` on it, one process at a time.

Models whose results are there are skipped, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}

import tiny
import variants
from tqdm import tqdm

HERE = Path(__file__).parent
CORPORA = ("dispersion_demo_wiki", "dispersion_demo_news", "dispersion_demo_code")
LABELLED = (
    "dispersion_news_next_words",
    "dispersion_wiki_word_order",
    "dispersion_code_token_order",
    "dispersion_demo_mmlu",
)
THREADS = {"real": 2, "tiny": 1}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for models (4 GB); default: a temporary one")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="default: results/ beside this file")
    parser.add_argument("--only", default="", help="only models with this in their name")
    parser.add_argument("--limit-corpora", type=int, default=3, help="documents of each corpus (default: 3)")
    parser.add_argument("--limit-labelled", type=int, default=40, help="questions of each task (default: 40)")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work = work.resolve()
        work.mkdir(parents=True, exist_ok=True)
        # Beside the models, so that no results file names a folder of this machine.
        shutil.copytree(HERE / "tasks", work / "tasks", dirs_exist_ok=True)
        wanted = [(name, kind, save) for name, kind, save in models(work) if options.only in name]
        limits = {CORPORA: options.limit_corpora, LABELLED: options.limit_labelled}
        for name, kind, save in (progress := tqdm(wanted)):
            progress.set_description(name)
            if not (options.results / name).exists():
                if not (work / name / "config.json").exists():
                    save()
                evaluate(name, work, options.results.resolve(), limits, THREADS[kind])
            shutil.rmtree(work / name, ignore_errors=True)
    print(table(options.results))


def models(work: Path) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Every model's name, kind, and what makes its folder below ``work``."""
    for shape in tiny.TINY:
        for steps in tiny.STEPS:
            # The first that is asked for saves the later ones on its way: they are one training.
            later = [s for s in tiny.STEPS if s >= steps]
            yield shape.name(steps), "tiny", partial(tiny.train, shape, work, later)
    for variant in variants.VARIANTS:
        yield variant.name, "real", partial(variants.save, variant, work)


def evaluate(name: str, work: Path, results: Path, limits: dict[tuple[str, ...], int], threads: int) -> None:
    """Runs ``lm_eval`` once for each group of tasks; the results appear when all of them are done."""
    written = work / "written"
    shutil.rmtree(written, ignore_errors=True)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    for tasks, limit in limits.items():
        command = [str(Path(sys.executable).with_name("lm_eval")), "--model", "hf", "--device", "cpu"]
        command += ["--model_args", f"pretrained={name},dtype=float32", "--tasks", ",".join(tasks)]
        command += ["--include_path", "tasks", "--limit", str(limit), "--output_path", "written"]
        # Windows fill a batch of their own; questions are short.
        command += ["--batch_size", "1" if tasks is CORPORA else "8"]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"lm_eval failed on {name}:\n{done.stderr[-4000:]}")
    results.mkdir(parents=True, exist_ok=True)
    part = results / f".{name}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for file in written.rglob("results_*.json"):
        (part / file.name).write_text(without_paths(file.read_text()))
    part.rename(results / name)


def without_paths(text: str) -> str:
    """A results file whose ``config_source`` no longer says where the tasks are installed on this machine."""
    return re.sub(r'("config_source": ")/[^"]*/(tasks/)', r"\1\2", text)


def table(results: Path) -> str:
    """What came out, a line a model."""
    lines = [f"{'':38}{'D at the last layer':^21}{'bits per byte':^21}{'accuracy':^28}"]
    short = ["wiki", "news", "code"] * 2 + ["next", "words", "tokens", "mmlu"]
    lines.append(f"{'model':38}" + "".join(f"{s:>7}" for s in short))
    for folder in sorted(path for path in results.iterdir() if path.is_dir() and path.name[0] != "."):
        found: dict[str, Any] = {}
        for file in sorted(folder.glob("results_*.json")):
            found |= json.loads(file.read_text())["results"]
        values = [found[task]["dispersion,none"] for task in CORPORA]
        values += [found[task]["bits_per_byte,none"] for task in CORPORA]
        values += [found[task]["acc,none"] for task in LABELLED]
        lines.append(f"{folder.name:38}" + "".join(f"{v:7.2f}" if v is not None else "      -" for v in values))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
