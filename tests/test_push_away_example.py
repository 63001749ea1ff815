"""The push-away example at toy size, from training to the picture, and its statistics on made values."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from example_scripts import scripts
from scipy import stats

REPOSITORY = Path(__file__).parents[1]
MODULES = ("sizes", "texts", "one_run", "results", "run", "analyse")


@pytest.fixture(scope="module")
def example() -> Iterator[SimpleNamespace]:
    with scripts("push_away", MODULES) as modules:
        yield modules


@pytest.fixture(scope="module")
def plan(example: SimpleNamespace) -> Any:
    return example.sizes.Plan(
        cells=(example.sizes.Cell("single", 1e-2), example.sizes.Cell("cross", 1e-2)),
        arms=("plain", "push_away", "push_away_decayed", "koleo"),
        lams=(0.1, 1.0),
        judged_seeds=(1, 2),
        vocabulary=300,
        width=16,
        layers=1,
        context=16,
        steps=16,
        batch=4,
        held_out=8,
    )


@pytest.fixture(scope="module")
def out(example: SimpleNamespace, plan: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 28 runs, of a few texts."""
    folder = tmp_path_factory.mktemp("push_away")
    code = [Path(module.__file__).read_text("utf-8") for module in (os, tarfile)]
    prose = [page.read_text("utf-8") for page in sorted((REPOSITORY / "docs").glob("*.md"))]
    few = SimpleNamespace(code=code, prose=prose[4:], judged_code=code[:1], judged_prose=prose[:4], glimpse=code[1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(example.texts, "read_texts", lambda: few)
        example.run.main(folder, plan)
    return folder


def runs(example: SimpleNamespace, plan: Any, out: Path) -> dict[Any, dict[str, Any]]:
    every = [*example.sizes.to_choose(plan), *example.sizes.to_judge(plan, example.results.chosen(out, plan))]
    return {run: json.loads((out / "runs" / f"{run.name}.json").read_text()) for run in every}


def test_the_default_size_pairs_eight_seeds_that_chose_no_weight(example: SimpleNamespace) -> None:
    for plan in example.sizes.SIZES.values():
        assert len(set(plan.judged_seeds)) == 8 and not set(plan.judged_seeds) & set(plan.choosing_seeds)
        assert plan.steps % 16 == 0


def test_what_is_finished_is_not_trained_again_and_another_plan_is_refused(
    example: SimpleNamespace, plan: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example.run, "work", lambda *_: pytest.fail("there is nothing to train"))
    example.run.main(out, plan)
    with pytest.raises(SystemExit, match="was trained by another plan"):
        example.run.main(out, example.sizes.SIZES["cpu"])


def test_each_arm_is_trained_with_its_weight_and_plain_with_none(
    example: SimpleNamespace, plan: Any, out: Path
) -> None:
    lams = {(run.arm, run.lam): [log["lam"] for log in kept["log"]] for run, kept in runs(example, plan, out).items()}
    assert lams["plain", 0.0] == [0.0] * 16
    assert lams["koleo", 1.0] == lams["push_away", 1.0] == [1.0] * 16
    assert lams["push_away_decayed", 1.0] == pytest.approx([max(0.0, 1 - step / 8) for step in range(16)])


def test_rows_are_labelled_by_their_text_and_of_two_texts_there_is_as_much(example: SimpleNamespace, out: Path) -> None:
    windows = example.texts.load(out)
    assert {row["domain"] for row in windows.rows("single", 40, 1)} == {0}
    rows = windows.rows("cross", 40, 1)
    assert sum(row["domain"] for row in rows) == 20
    texts = [{ids.tobytes() for ids in part} for part in (windows.prose, windows.code)]
    assert all(row["input_ids"].tobytes() in texts[row["domain"]] for row in rows)


def test_measured_are_the_models_own_loss_and_d_of_the_definition(example: SimpleNamespace) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=8, n_embd=16, n_layer=1, n_head=2)).eval()
    held_out = {"prose": torch.randint(40, (3, 8)), "code": torch.randint(40, (5, 8))}
    found = example.one_run.measure(model, held_out)
    for text, ids in held_out.items():
        assert found["nats"][text] == pytest.approx(float(model(input_ids=ids, labels=ids).loss.detach()), rel=1e-5)
    with torch.no_grad():
        states = [model(ids, output_hidden_states=True).hidden_states[-1][:, :-1] for ids in held_out.values()]
    x = torch.cat([part.reshape(-1, 16) for part in states]).double()
    u = x / x.norm(dim=1, keepdim=True)
    cosines = u @ u.T
    n = len(x)
    assert found["dispersion"] == pytest.approx(float(1 - (cosines.sum() - n) / (n * (n - 1))), rel=1e-5)


def test_the_chosen_weight_is_the_best_on_validation_text(example: SimpleNamespace, plan: Any, out: Path) -> None:
    kept = runs(example, plan, out)
    for (cell, arm), lam in example.results.chosen(out, plan).items():
        mean = {
            run.lam: np.mean([[nats[3], nats[9]] for nats in of["nats"].values()])
            for run, of in kept.items()
            if (run.cell, run.arm, run.judged) == (cell, arm, False)
        }
        assert lam == min(mean, key=mean.get)  # type: ignore[arg-type]


def test_the_analysis_gives_a_table_a_text_and_a_picture(
    example: SimpleNamespace, plan: Any, out: Path, tmp_path: Path
) -> None:
    shown = example.analyse.main(out, plan, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert shown.startswith("2 seeds, 18 comparisons.")
    assert shown.count("| plain |") == 3
    plain, pushed = (
        np.mean([of["nats"]["prose"][9] for run, of in runs(example, plan, out).items() if of_single(run, arm)])
        for arm in ("plain", "push_away")
    )
    row = next(line for line in shown.splitlines() if line.startswith("| push_away |"))
    assert f"| {np.exp(pushed):.1f} |" in row and f"{100 * np.expm1(pushed - plain):+.1f} % [" in row


def of_single(run: Any, arm: str) -> bool:
    return run.judged and run.arm == arm and run.cell.setting == "single"


def test_a_seed_that_is_not_whole_is_left_out(
    example: SimpleNamespace, plan: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = example.results.read
    monkeypatch.setattr(
        example.results, "read", lambda out, run: None if (run.seed, run.arm) == (2, "koleo") else read(out, run)
    )
    with pytest.raises(SystemExit, match="no two seeds of every arm"):
        example.results.judged(out, plan)


def test_intervals_are_students_and_wider_for_all_comparisons(example: SimpleNamespace) -> None:
    differences = np.random.default_rng(0).normal(-0.02, 0.01, 8)
    found = example.analyse.change(differences, 40)
    test = stats.ttest_1samp(differences, 0)
    for half, level in ((found.half, 0.95), (found.half_of_all, 1 - 0.05 / 40)):
        told = test.confidence_interval(level)
        assert (found.mean - half, found.mean + half) == pytest.approx((told.low, told.high))
    # Bold where, and only where, p times the comparisons is below 5 %.
    assert example.analyse.percent(found).startswith("**") == (40 * test.pvalue < 0.05)
    assert not example.analyse.percent(example.analyse.change(differences - differences.mean(), 40)).startswith("**")


def test_steps_saved_are_those_between_two_curves(example: SimpleNamespace) -> None:
    points = np.array([10.0, 20, 30, 40])
    plain = np.array([[5.0, 4, 3.5, 3.25], [5.0, 4, 3.5, 3.25]])
    earlier = np.array([[4.5, 3.5, 3.3, 3.3], [4.6, 4.2, 3.4, 3.2]])
    assert example.analyse.reached(points, plain[0], 4.5) == 15
    assert example.analyse.reached(points, plain[0], 5.0) == 10
    assert np.isnan(example.analyse.reached(points, plain[0], 3.0))
    # Plain is at 3.5 at step 30; the first seed's arm at 20, the second's at 20 + 10 * .7 / .8.
    mean = np.mean([10, 30 - 28.75])
    assert example.analyse.saved(points, plain, earlier, 2).startswith(f"{mean:+.0f} ±")
    assert example.analyse.saved(points, plain, earlier, 3) == "not reached by 1 of 2"
