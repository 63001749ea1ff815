"""What stands beside D on the pages: confidence, what is predicted without a fit, and G of the checkpoint."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import typed
from made import digests, made, save, screened, with_signals

MODELS, PIQA = 12, "dispersion_piqa"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signals") / "results"
    for number in range(MODELS):
        run = made(f"org/f{number % 4:02d}-m{number}", number)
        rng = np.random.default_rng(number)
        for task in (PIQA, "dispersion_boolq"):
            level = 8 * np.clip(run["results"][task]["acc,none"], 0.1, 0.9)
            drawn = rng.beta(level, 8 - level, 200).tolist()
            with_signals(
                run, task, confidence=drawn, margin=drawn, prompt_loglikelihood=rng.normal(-3, 1, 200).tolist()
            )
        save(folder, f"m{number:02d}", run)
        save(folder, f"s{number:02d}", screened(run["model_name"], number, code=float(rng.normal())))
    rules = "".join(f"  - {{family: Family {i}, match: '/f{i:02d}-'}}\n" for i in range(4))
    (folder.parent / "overrides.yaml").write_text(f"families:\n{rules}")
    return folder


@pytest.fixture(scope="module")
def site(results: Path) -> Path:
    out = results.parent / "site"
    done = typed(*command(results, out), "--source-task", "boolq")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("12 models, 2 benchmarks (2 fitted)") and "skipped" not in done.stderr
    return out


def command(results: Path, out: Path) -> list[str]:
    overrides = str(results.parent / "overrides.yaml")
    return ["build", "--results", str(results), "--overrides", overrides, "--out", str(out)]


def validation(page: Path) -> dict[str, list[str]]:
    """The cells of the table of signals, by signal."""
    table = page.read_text().partition('aria-label="Validation"')[2].partition("</table>")[0]
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', table, re.S)
    return {
        html.unescape(label.removesuffix(" (least MAE)")): re.findall("<td>(.*?)</td>", cells) for label, cells in rows
    }


def test_every_benchmarks_page_has_them_beside_d(results: Path, site: Path) -> None:
    for task, source in (("piqa", "boolq"), ("boolq", None)):
        found = validation(site / "tasks" / f"{task}.html")
        own = {"AC (mean confidence)", "margin", "log-likelihood of prompts", "G code", "AC, no fit"}
        assert own <= set(found) and any(label.startswith("D of prompts") for label in found)
        assert {label for label in found if " from " in label} == (
            {f"DoC from {source}, no fit", f"ATC from {source}, no fit"} if source else set()
        )
        runs = [json.loads(file.read_text()) for file in results.rglob("m*/results_*.json")]
        errors = []
        for run in runs:
            name = f"dispersion_{task}"
            told = run["configs"][name]["metadata"]["dispersion"]["signals"]["confidence"]["mean"]
            errors.append(abs(told - run["results"][name]["acc,none"]))
        models, mae = found["AC, no fit"][:2]
        assert models == "12 (4)" and float(mae.split()[0]) == pytest.approx(100 * np.mean(errors), abs=0.051)


def test_a_models_page_has_its_numbers_and_a_screen_is_no_benchmark(site: Path) -> None:
    pages = list(site.glob("models/*/*.html"))
    assert len(pages) == MODELS
    for page in pages:
        text = page.read_text()
        for metric in ("confidence", "margin", "prompt_loglikelihood", "gap"):
            assert f"<tr><td><bdi>{metric}</bdi></td>" in text
        assert "screen_code" in text and "lm-eval-dispersion screen org/" in text
    assert {page.name for page in site.glob("tasks/*.html")} == {"piqa.html", "boolq.html"}
    data = json.loads((site / "data" / "models.js").read_text().removeprefix("window.LEADERBOARD=").rstrip(";\n"))
    shown = {field["key"]: field for field in data["fields"]}
    assert {"answers-confidence-piqa", "gap-code", "prompts-piqa"} <= set(shown)
    assert not any(shown[key]["shown"] for key in shown if key.startswith(("answers", "gap")))


def test_the_method_says_what_each_is(site: Path) -> None:
    text = html.unescape((site / "method.html").read_text())
    for name in (
        "AC (mean confidence)",
        "prompt_loglikelihood",
        "participation ratio",
        "Guillory",
        "Garg",
        "G of a token set",
    ):
        assert name in text


def test_no_source_of_that_name_is_one_line_and_makes_nothing(results: Path, tmp_path: Path) -> None:
    done = typed(*command(results, tmp_path / "site"), "--source-task", "arc_easy")
    assert done.returncode == 1 and not (tmp_path / "site").exists()
    assert done.stderr.startswith("leaderboard: no benchmark arc_easy") and done.stderr.count("\n") == 1


def test_the_same_bytes_step_by_step(results: Path, site: Path, tmp_path: Path) -> None:
    again = tmp_path / "site"
    assert typed(*command(results, again)).returncode == 0
    assert typed(*command(results, again), "--source-task", "boolq").returncode == 0
    assert digests(again) == digests(site)
