"""``compare`` on runs of the real lm_eval: tiny models on one text, from the command line to a browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_core_python.sync_playwright import Axe
from conftest import CliHere, results, samples
from models import save_tiny_llama

from lm_eval_dispersion.commands import main
from lm_eval_dispersion.compare import shown

NEWS = "dispersion_demo_news"
Compare = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture(scope="module")
def out(cli_here: CliHere, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of one shape, each with a folder of its own."""
    folder = tmp_path_factory.mktemp("compare")
    models = {"calm": {}, "wild": {"initializer_range": 0.3}}
    for name, shape in models.items():
        model = save_tiny_llama(folder / "models" / name, **shape)
        cli_here(
            *("--model", "hf", "--device", "cpu", "--model_args", f"pretrained={model},dtype=float32"),
            *("--tasks", f"{NEWS},dispersion_demo_mmlu", "--limit", "24", "--batch_size", "8"),
            *("--output_path", str(folder / "out" / name), "--log_samples"),
        )
    return folder / "out"


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Compare:
    """Exit status, standard output, and lines on standard error; 100 columns wide."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object) -> tuple[int, str, list[str]]:
        status = main(["compare", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err.splitlines()

    return run


def said(compare: Compare, *arguments: object) -> dict[str, Any]:
    """The JSON document of the one text."""
    status, printed, errors = compare(*arguments, "--json")
    assert status == 0 and errors == []
    (found,) = json.loads(printed)["comparisons"]
    return dict(found)


def test_the_numbers_are_lm_evals_and_the_errors_those_of_a_paired_bootstrap(out: Path, compare: Compare) -> None:
    found = said(compare, out)
    bits = {}
    for model in found["models"]:
        run, rows = results(out / model["label"]), samples(out / model["label"], NEWS)
        assert model["bits_per_byte"]["value"] == run["results"][NEWS]["bits_per_byte,none"]
        assert model["dispersion"]["value"] == run["results"][NEWS]["dispersion,none"]
        assert model["dispersion_across"]["stderr"] == run["results"][NEWS]["dispersion_across_stderr,none"]
        bits[model["label"]] = np.array([row["bits_per_byte"] for row in rows])
    assert [m["label"] for m in found["models"]] == sorted(bits, key=lambda name: -bits[name][:, 0].sum())

    drawn = np.random.default_rng(0).integers(24, size=(4000, 24))
    for pair in found["pairs"]:
        nats = bits[pair["second"]][:, 0] - bits[pair["first"]][:, 0]
        sizes = bits[pair["first"]][:, 1]
        difference = pair["bits_per_byte"]
        assert difference["value"] == pytest.approx(-nats.sum() / sizes.sum() / np.log(2)) and difference["value"] > 0
        resampled = nats[drawn].sum(1) / sizes[drawn].sum(1) / np.log(2)
        assert difference["stderr"] == pytest.approx(resampled.std(), rel=0.15)
        assert difference["documents"] == 24


def test_d_of_models_of_one_shape_is_paired_by_window(out: Path, compare: Compare) -> None:
    for pair in said(compare, out)["pairs"]:
        one, other = ([s["dispersion"]["windows"] for s in samples(out / pair[k], NEWS)] for k in ("first", "second"))
        apart = [
            [w["layers"][-1] - v["layers"][-1] for v, w in zip(*both, strict=True)]
            for both in zip(one, other, strict=True)
        ]
        counts = np.array([len(windows) for windows in apart])
        sums = np.array([sum(windows) for windows in apart])
        assert pair["dispersion"]["value"] == pytest.approx(sums.sum() / counts.sum())
        drawn = np.random.default_rng(0).integers(24, size=(4000, 24))
        resampled = sums[drawn].sum(1) / counts[drawn].sum(1)
        assert pair["dispersion"]["stderr"] == pytest.approx(resampled.std(), rel=0.15)


def test_two_models_get_the_sentence_and_the_labelled_task_is_left_alone(out: Path, compare: Compare) -> None:
    found = said(compare, out)
    better, worse = (model["label"] for model in found["models"])
    difference = found["pairs"][0]["bits_per_byte"]
    assert difference["told"]
    sentence = f"{better} predicts this text better than {worse} by {difference['value']:.3f} ± "
    assert found["verdict"].startswith(sentence)
    d = found["pairs"][0]["dispersion"]
    assert d["told"]
    larger = worse if d["value"] > 0 else better
    assert f"; D is larger in {larger} by {abs(d['value']):.3f}" in found["verdict"]
    status, printed, errors = compare(out / "calm", out / "wild")
    assert (status, errors) == (0, []) and sentence in " ".join(printed.split())
    assert "dispersion_demo_mmlu" not in printed and "├" in printed
    assert all(len(line) <= 100 for line in printed.splitlines())


def test_without_logged_samples_there_is_the_table_and_a_line_says_what_is_missing(
    out: Path, compare: Compare, tmp_path: Path
) -> None:
    copy = shutil.copytree(out, tmp_path / "out")
    for file in copy.rglob("samples_*.jsonl"):
        file.unlink()
    status, printed, _ = compare(copy)
    assert status == 0
    text = " ".join(printed.split())
    assert "paired differences need lm_eval --log_samples" in text and "Against" not in printed
    for name in ("calm", "wild"):
        value = results(out / name)["results"][NEWS]["bits_per_byte,none"]
        assert any(name in line and f"{value:.3f}" in line for line in printed.splitlines())


def test_the_page_opens_from_a_file_for_everybody_and_fits_a_phone(
    browser: Any, page: Any, out: Path, compare: Compare, tmp_path: Path
) -> None:
    file = tmp_path / "page.html"
    assert compare(out, "--html", file)[0] == 0
    page.goto(f"file://{file}")
    found = said(compare, out)
    assert page.inner_text(".answer") == found["verdict"]
    values = [shown(pair["bits_per_byte"]["value"], pair["bits_per_byte"]["stderr"], "+") for pair in found["pairs"]]
    text = page.inner_text("main")
    assert all(value in text for value in values) and page.locator("svg circle").count() >= 2 + len(values)
    for width, scheme in ((1280, "light"), (390, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
        other = context.new_page()
        other.goto(f"file://{file}")
        assert [(v["id"], [n["html"][:150] for n in v["nodes"]]) for v in Axe().run(other)["violations"]] == []
        assert other.evaluate("document.documentElement.scrollWidth <= innerWidth")
        context.close()
