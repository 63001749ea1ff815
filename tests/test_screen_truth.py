"""The truth test of the screen at toy size, from training to the picture, and its statistics on made values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from example_scripts import scripts
from scipy.stats import spearmanr

MODULES = ("mixtures", "train", "tokens", "measure", "analysis", "judge")


@pytest.fixture(scope="module")
def truth() -> Iterator[SimpleNamespace]:
    with scripts("screen_truth", MODULES) as modules:
        yield modules


@pytest.fixture(scope="module")
def texts(truth: SimpleNamespace) -> Any:
    return truth.mixtures.read_texts()


@pytest.fixture(scope="module")
def few(texts: Any) -> Any:
    """Some documents of each part."""
    sizes = {"code": 12, "prose": 12, "judged_code": 2, "judged_prose": 2, "glimpse": 3}
    return type(texts)(*([text[:12_000] for text in getattr(texts, part)[:size]] for part, size in sizes.items()))


@pytest.fixture(scope="module")
def out(truth: SimpleNamespace, few: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six models of three mixtures."""
    folder = tmp_path_factory.mktemp("truth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(truth.train, "read_texts", lambda: few)
        truth.train.main(folder, planned(truth), toy(truth))
    return folder


def toy(truth: SimpleNamespace) -> Any:
    return truth.train.Plan(vocabulary=1000, width=16, layers=1, heads=2, context=32, windows=64)


def planned(truth: SimpleNamespace) -> list[Any]:
    return [truth.train.Model(share, seed) for seed in (1, 2) for share in (0, 50, 100)]


def test_no_package_and_no_article_is_both_trained_and_judged_on(texts: Any) -> None:
    parts = [set(part) for part in texts]
    assert all(not one & other for i, one in enumerate(parts) for other in parts[:i])
    assert all(sum(map(len, part)) > 200_000 for part in texts)


def test_a_mixture_holds_its_share_of_code_and_no_window_twice(truth: SimpleNamespace) -> None:
    code, prose = np.arange(40).reshape(20, 2), np.arange(100, 140).reshape(20, 2)
    drawn = truth.mixtures.mixture(code, prose, 20, 40, seed=3)
    assert (drawn[:, 0] < 100).sum() == 8
    assert len({int(first) for first, _ in drawn}) == 20
    with pytest.raises(SystemExit, match="21 windows of code are wanted, there are 20"):
        truth.mixtures.mixture(code, prose, 21, 100, seed=3)


def test_a_finished_model_is_not_trained_again_and_one_of_another_plan_is_refused(
    truth: SimpleNamespace, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(truth.train, "read_texts", lambda: pytest.fail("there is nothing to train"))
    truth.train.main(out, planned(truth), toy(truth))
    with pytest.raises(SystemExit, match="was trained by another plan"):
        truth.train.main(out, planned(truth), truth.train.Plan(vocabulary=1000))


def test_models_of_one_seed_differ_by_their_text_alone(truth: SimpleNamespace, out: Path) -> None:
    projections = [truth.measure.output_projection(out / "models" / model.name) for model in planned(truth)]
    assert {rows.shape for rows in projections} == {(1000, 16)}
    assert all(not np.array_equal(one, other) for i, one in enumerate(projections) for other in projections[:i])


def test_bits_per_byte_are_lm_evals(truth: SimpleNamespace, out: Path, few: Any) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer, GPT2LMHeadModel

    folder = out / "models" / "code-050-seed-1"
    model, tokenizer = GPT2LMHeadModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    harness = HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=1)
    text = few.judged_code[0][:700]
    nats, tokens, size = truth.measure.likelihood(model, tokenizer, text)
    (told,) = harness.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), 0)], disable_tqdm=True)
    assert -nats == pytest.approx(told, rel=1e-5)
    assert (tokens, size) == (len(tokenizer(text)["input_ids"]), len(text.encode()))


def test_judging_it_all_gives_tables_numbers_and_a_picture(
    truth: SimpleNamespace, out: Path, few: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(truth.judge, "read_texts", lambda: few)
    shown = truth.judge.main(out, picture=tmp_path / "truth.png", sets=20)
    assert (tmp_path / "truth.png").stat().st_size > 10_000
    found = json.loads((out / "judged.json").read_text())
    assert found["shares"] == [0, 50, 100] and {"Ġif", "return"} & set(found["python"])
    bits, gaps = (
        np.ravel(found[key] if key in found else found["values"][key]) for key in ("bits_per_byte_of_code", "G")
    )
    assert found["verdicts"]["G"]["rho"] == pytest.approx(spearmanr(bits, gaps).statistic)
    assert [len(chance["rho"]) for chance in found["chance"].values()] == [20] * 3
    assert f"| G(keywords) | {found['verdicts']['G']['rho']:+.2f} [" in shown
    # What is measured is not measured again.
    monkeypatch.setattr(truth.measure, "likelihood", lambda *_: pytest.fail("it is kept"))
    assert truth.judge.main(out, sets=20) == shown
    with pytest.raises(SystemExit, match="has no three mixtures"):
        truth.judge.main(out, tied=True)


def test_a_verdict_counts_mixtures_and_not_models(truth: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    bits = np.array([[3.0, 3.1], [2.8, 2.7], [2.5, 2.4], [2.2, 2.25], [2.0, 2.1]])
    told = truth.analysis.verdict(-bits, bits, sign=-1)
    assert (told.rho, told.low, told.high, told.of_means, told.regret) == (-1, -1, -1, -1, 0)
    assert told.p == pytest.approx(1 / 120)
    assert (told.agreeing, told.pairs) == (5, 5)
    signal = rng.normal(size=bits.shape)
    told = truth.analysis.verdict(signal, bits, sign=-1)
    assert told.rho == pytest.approx(spearmanr(signal.ravel(), bits.ravel()).statistic)
    assert told.of_means == pytest.approx(spearmanr(signal.mean(1), bits.mean(1)).statistic)
    shuffled = [spearmanr(signal.ravel(), bits[list(order)].ravel()).statistic for order in permutations(range(5))]
    assert told.p == pytest.approx(np.mean(np.array(shuffled) <= told.rho + 1e-9))
    assert told.regret == pytest.approx(bits.ravel()[signal.argmax()] - 2.0)
    same_within = np.repeat(bits.mean(1, keepdims=True), 2, axis=1)
    assert truth.analysis.verdict(same_within, bits, sign=1).agreeing == 0


def test_matched_sets_are_as_frequent_as_the_domain_and_random_ones_are_not(truth: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    traits = np.sort(rng.normal(size=(500, 1)), axis=0)
    domain = np.arange(460, 500, 2)
    eligible = np.setdiff1d(np.arange(500), domain)
    matched = truth.tokens.matched_sets(rng, eligible, domain, traits, 50)
    drawn = truth.tokens.random_sets(rng, eligible, len(domain), 50)
    for sets in (matched, drawn):
        assert all(len(set(one)) == len(domain) and not set(one) & set(domain) for one in sets.tolist())
    away = [abs(traits[sets].mean() - traits[domain].mean()) for sets in (matched, drawn)]
    assert 5 * away[0] < away[1]


def test_a_gap_that_follows_the_truth_by_its_tokens_is_told_from_chance(truth: SimpleNamespace) -> None:
    """Rows in which the domain's spread, and nothing else, grows with the share of code."""
    rng = np.random.default_rng(0)
    shares, size, width = [0, 20, 40, 60, 80, 100], 400, 64
    domain, general, everyday = np.arange(20), np.arange(20, 40), np.arange(40, 60)
    others = np.arange(60, size)
    tokens = truth.tokens.Tokens(domain, general, everyday, others, rng.uniform(1, 100, size=(size, 2)))
    rows, measured = [], []
    for share in shares:
        for _ in range(2):
            one = rng.normal(size=(size, width))
            one[domain] += (110 - share) / 20
            rows.append(one)
            nats = np.array([[200.0 - share + rng.normal(), 50, 100]])
            measured.append(truth.measure.Measured(nats, nats, nats))
    found = truth.judge.judge(shares, measured, rows, tokens, 200)
    assert found["verdicts"]["G"]["rho"] < -0.95 and found["verdicts"]["G"]["p"] < 0.01
    for chance in found["chance"].values():
        assert np.mean(np.array(chance["rho"]) <= found["verdicts"]["G"]["rho"]) < 0.03
