"""The law's report: correlations against other people's code, and from a real run's files to table and picture."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli
from scipy.stats import pearsonr

from lm_eval_dispersion.commands import main
from lm_eval_dispersion.law import (
    BINS,
    Windows,
    in_bins,
    in_released_groups,
    law,
    pearson,
    read_windows,
    without_confounders,
)


def windows(n: int = 600, documents: int = 60, slope: float = -0.1, seed: int = 0) -> Windows:
    """Layer 0 has nothing to do with log-perplexity, layer 1 falls with it, layer 2 is driven by length alone."""
    rng = np.random.default_rng(seed)
    length = rng.uniform(4, 6, n)
    log_perplexity = 3 + 0.3 * rng.standard_normal(n) - 0.2 * (length - 5)
    noise = 0.02 * rng.standard_normal((n, 3))
    d = 0.5 + noise + np.column_stack([np.zeros(n), slope * (log_perplexity - 3), 0.1 * (length - 5)])
    repetition = rng.uniform(0.4, 0.6, n)
    return Windows(
        "m", "c", np.arange(n) % documents, d, log_perplexity, length, repetition, {"mean": [], "stderr": []}
    )


def test_pearson_is_scipys_at_every_layer() -> None:
    w = windows()
    expected = [pearsonr(w.dispersion[:, layer], w.log_perplexity).statistic for layer in range(3)]
    np.testing.assert_allclose(pearson(w.dispersion, w.log_perplexity), expected, atol=1e-12)
    assert np.isnan(pearson(w.dispersion[:2], w.log_perplexity[:2])).all()


def test_bins_are_of_equal_count_in_the_order_of_log_perplexity() -> None:
    w = windows(n=500)
    d, log_perplexity = in_bins(w.dispersion, w.log_perplexity)
    assert len(log_perplexity) == BINS and (np.diff(log_perplexity) > 0).all()
    lowest = np.sort(w.log_perplexity)[:20]
    assert log_perplexity[0] == pytest.approx(lowest.mean())
    assert d[0] == pytest.approx(w.dispersion[np.argsort(w.log_perplexity)[:20]].mean(0))


def test_the_released_grouping_takes_hundreds_and_drops_high_perplexity() -> None:
    w = windows(n=730)
    _, log_perplexity = in_released_groups(w.dispersion, w.log_perplexity)
    ordered = np.sort(w.log_perplexity)
    groups = [ordered[i : i + 100] for i in range(0, 700, 100)]
    expected = [g.mean() for g in groups if np.exp(g).mean() < 25]
    assert 0 < len(expected) < 7
    np.testing.assert_allclose(log_perplexity, expected)


def test_a_planted_relation_is_recovered_with_an_interval_that_excludes_zero_and_none_is_not_found() -> None:
    found = law(windows(), resamples=200)
    assert found.by_window[1].high < -0.5 and found.by_bin[1].high < -0.8
    assert found.by_window[0].low < 0 < found.by_window[0].high
    # bins inflate what is there: the reason both stand in the table
    assert abs(found.by_bin[1].value) > abs(found.by_window[1].value)


def test_a_relation_that_length_alone_makes_is_gone_when_length_is_held() -> None:
    found = law(windows(), resamples=200)
    assert found.by_window[2].high < -0.05
    assert found.partial[2].low < 0 < found.partial[2].high
    assert found.partial[1].high < -0.5


def test_the_partial_correlation_is_that_of_residuals() -> None:
    w = windows(n=80)
    confounders = np.column_stack([np.ones(80), w.log_vectors, w.repetition])
    projection = np.eye(80) - confounders @ np.linalg.pinv(confounders)
    expected = pearsonr(projection @ w.dispersion[:, 1], projection @ w.log_perplexity).statistic
    assert without_confounders(w, np.arange(80))[1] == pytest.approx(expected)


def test_the_interval_resamples_documents_and_is_wider_where_their_windows_agree() -> None:
    independent, seed = windows(n=600, documents=600), 3
    rng = np.random.default_rng(seed)
    copies = rng.integers(600, size=60).repeat(10)  # 60 documents of ten equal windows
    clustered = Windows(
        "m", "c", np.arange(60).repeat(10), independent.dispersion[copies], independent.log_perplexity[copies],
        independent.log_vectors[copies], independent.repetition[copies], independent.profile,
    )  # fmt: skip
    wide, narrow = (law(w, resamples=200).by_window[1] for w in (clustered, independent))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


@pytest.fixture(scope="module")
def out(cli: Cli, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run of lm_eval with ``--log_samples`` left."""
    folder = tmp_path_factory.mktemp("law") / "out"
    cli(
        *("--model", "hf", "--device", "cpu", "--model_args", f"pretrained={tiny_llama},dtype=float32"),
        *("--tasks", "dispersion_demo_news,dispersion_demo_mmlu", "--limit", "40", "--batch_size", "4"),
        *("--output_path", str(folder), "--log_samples"),
    )
    return folder


def test_a_run_of_lm_eval_becomes_a_table_and_a_picture(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = read_windows(out)  # a labelled task has no windows
    assert found.dispersion.shape[1] == 3 and len(np.unique(found.documents)) == 40
    picture = tmp_path / "picture.png"
    assert main(["law", str(out), "--picture", str(picture), "--layers"]) == 0
    printed = capsys.readouterr().out
    assert f"| dispersion_demo_news | {len(found.documents)} (40) |" in printed
    assert printed.count("| 25 bins |") == 1 and printed.endswith(f"\nPicture: {picture}\n")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_nothing_to_read_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["law", str(tmp_path / "none")]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert re.match(r"lm-eval-dispersion: no corpus task with logged samples below .*none; run", err)


def test_a_results_file_that_was_cut_off_is_named_and_the_others_are_read(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(out, tmp_path / "out")
    (copy / "results_2026-01-01.json").write_text('{"results": {')
    assert len(read_windows(copy)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"lm-eval-dispersion: {copy / 'results_2026-01-01.json'} is not JSON")


def test_a_run_named_by_a_json_output_path_is_read_too(out: Path, tmp_path: Path) -> None:
    """lm_eval then writes STEM_DATE.json in place of results_DATE.json."""
    copy = shutil.copytree(out, tmp_path / "out")
    (results,) = copy.rglob("results_*.json")
    results.rename(results.with_name(results.name.replace("results_", "mine_")))
    (found,) = read_windows(copy)
    assert found.corpus == "dispersion_demo_news"


def test_a_picture_without_matplotlib_or_of_an_unknown_kind_is_one_line(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(picture: str) -> str:
        assert main(["law", str(out), "--picture", str(tmp_path / picture)]) == 1
        return capsys.readouterr().err.rstrip("\n")

    assert re.search(r"\Alm-eval-dispersion: cannot draw .*picture.doc: .*\bdoc\b.*\Z", said("picture.doc"))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert re.search(r"needs matplotlib; pip install 'lm-eval-dispersion\[demo\]'\Z", said("picture.png"))
