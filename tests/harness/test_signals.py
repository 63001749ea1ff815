"""Signals beside D: of answers and prompts by default, of Gram matrices on request, each computed in another way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from models import END
from reference import document_windows, leading, signals, states
from scipy.special import softmax
from scipy.stats import entropy, sem
from stock import CHOICE, EVERY, LAST_WORD, recorded, task_manager, write_tasks

from lm_eval_dispersion import Definition, measure
from lm_eval_dispersion._discovery import tasks_folder
from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.capture import _scores, _spectra
from lm_eval_dispersion.corpora import demo_code
from lm_eval_dispersion.geometry import SIGNALS
from lm_eval_dispersion.record import schema

LIMIT = 5
ANSWERS = ("confidence", "confidence_by_length", "margin", "entropy")
# A prompt with a prefix before it, so that its first token is predicted, too.
PREFIXED = LAST_WORD.replace("stock_last_word", "stock_prefixed").replace('"{{text', f'"{END}{{{{text', 1)
# lm_eval sends the choices once more without a context, and asks for results once a filter.
MUTUAL = CHOICE.replace("stock_choice", "stock_mutual").replace(
    "{metric: acc}", "{metric: acc_mutual_info}, {metric: acc}"
) + "".join(["filter_list:\n", *(f"  - {{name: {n}, filter: [{{function: take_first}}]}}\n" for n in ("one", "two"))])
TASKS = EVERY | {"stock_prefixed": PREFIXED, "stock_mutual": MUTUAL}
CHOICES = ("stock_choice", "stock_letters", "stock_contexts", "stock_mutual")
SCORED = (*CHOICES, "stock_last_word", "stock_prefixed")
EVERY_TASK = (*SCORED, "stock_generate", "stock_long")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("tasks"), TASKS)


@pytest.fixture(scope="module")
def lm(tiny_llama: Path) -> HFLM:
    return HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32", batch_size=3)


def evaluated(lm: HFLM, folder: Path, *names: str, cache: Path | None = None, **options: Any) -> dict[str, Any]:
    manager = task_manager(folder, metadata={"dispersion": options})
    asked = {"task_manager": manager, "limit": LIMIT, "bootstrap_iters": 0}
    if cache is None:
        return dict(simple_evaluate(model=lm, tasks=list(map(recorded, names)), **asked))
    arguments = {"pretrained": lm.pretrained, "dtype": "float32"}
    more = {"model": "hf", "model_args": arguments, "device": "cpu", "batch_size": 3, "use_cache": str(cache)}
    return dict(simple_evaluate(tasks=list(map(recorded, names)), **asked, **more))


def of(found: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(found["configs"][recorded(name)]["metadata"]["dispersion"])


def samples(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Of its first filter."""
    return list(found["samples"][recorded(name)][:LIMIT])


@pytest.fixture(scope="module")
def plain(lm: HFLM, folder: Path) -> dict[str, Any]:
    """What is recorded by default."""
    return evaluated(lm, folder, *EVERY_TASK)


@pytest.fixture(scope="module")
def everything(lm: HFLM, folder: Path) -> dict[str, Any]:
    """On request."""
    return evaluated(lm, folder, *EVERY_TASK, signals="all", signal_layers=[0, 2])


def assert_mean(one: dict[str, Any], values: list[float]) -> None:
    assert one["layers"] is None and one["n"] == len(values)
    assert one["mean"] == pytest.approx(np.mean(values), rel=1e-5, abs=1e-7)
    assert one["stderr"] == pytest.approx(sem(values), rel=1e-4, abs=1e-7)


def test_each_kind_of_task_has_the_signals_that_it_can_have(plain: dict[str, Any], everything: dict[str, Any]) -> None:
    for name in EVERY_TASK:
        free = [*(ANSWERS if name in CHOICES else ()), *(["prompt_loglikelihood"] if name in SCORED else ())]
        for found, expected in ((plain, free), (everything, [*free, *SIGNALS])):
            record = of(found, name)
            jsonschema.validate(record, schema())
            assert list(record["signals"]) == expected
            json.dumps(record, allow_nan=False)
            for sample in samples(found, name):
                assert list(sample["dispersion"]["signals"]) == expected
        # None of them is a metric of lm_eval's, and D is what it is without them.
        assert everything["results"][recorded(name)] == plain["results"][recorded(name)]
        assert {key.split(",")[0] for key in plain["results"][recorded(name)]}.isdisjoint([*ANSWERS, *SIGNALS])


@pytest.mark.parametrize("name", CHOICES)
def test_how_sure_an_answer_is_follows_from_lm_evals_own_log_likelihoods(name: str, plain: dict[str, Any]) -> None:
    expected: dict[str, list[float]] = {key: [] for key in ANSWERS}
    for sample in samples(plain, name):
        answers = [float(answer[0]) for answer in sample["filtered_resps"]]
        answers = answers[: len(answers) // 2] if name == "stock_mutual" else answers
        doc = sample["doc"]
        # Templates of lm_eval's in a list of choices are as long as they are written, for it and so for us.
        lists = {"stock_letters": doc["letters"], "stock_contexts": ["{{'Question: '}}", "{{'Exercise: '}}"]}
        choices = lists.get(name, doc["choices"])
        p, q = softmax(answers), softmax([a / len(choice) for a, choice in zip(answers, choices, strict=True)])
        if "acc_norm" in sample["metrics"]:
            assert sample["acc_norm"] == float(np.argmax(q) == doc["answer"])
        values = (p.max(), q.max(), np.diff(sorted(p))[-1], entropy(p))
        for key, value in zip(ANSWERS, values, strict=True):
            assert sample["dispersion"]["signals"][key] == pytest.approx(value, rel=1e-6, abs=1e-9)
            expected[key].append(float(value))
    record = of(plain, name)["signals"]
    for key in ANSWERS:
        assert_mean(record[key], expected[key])
    for key in ANSWERS[:2]:
        quantiles = record[key]["quantiles"]
        assert len(quantiles) == 101 and quantiles == sorted(quantiles)
        assert (quantiles[0], quantiles[50], quantiles[100]) == pytest.approx(
            (min(expected[key]), np.median(expected[key]), max(expected[key]))
        )


def test_a_document_of_several_filters_counts_once_and_is_logged_alike_for_each(plain: dict[str, Any]) -> None:
    one, two = (plain["samples"]["recorded_mutual"][i : i + LIMIT] for i in (0, LIMIT))
    assert {s["filter"] for s in one} == {"one"} and {s["filter"] for s in two} == {"two"}
    assert [s["dispersion"]["signals"] for s in one] == [s["dispersion"]["signals"] for s in two]
    assert {signal["n"] for signal in of(plain, "stock_mutual")["signals"].values()} == {LIMIT}


def loglikelihood(lm: HFLM, context: str, limit: int | None = None) -> float:
    """Mean log-likelihood of a prompt's tokens, from transformers' logits of the prompt by itself."""
    tokens = lm.tok_encode(context.rstrip())[-(limit or 10**9) :]
    with torch.no_grad():
        told = lm.model(torch.tensor([tokens])).logits[0].double().log_softmax(-1)
    first = max(1, 0 if limit and len(lm.tok_encode(context.rstrip())) > limit else leading(tokens, {lm.eot_token_id}))
    return float(np.mean([told[i - 1, tokens[i]] for i in range(first, len(tokens))]))


@pytest.mark.parametrize("name", SCORED)
def test_the_log_likelihood_of_a_prompt_is_that_of_its_tokens(name: str, lm: HFLM, plain: dict[str, Any]) -> None:
    values = []
    for sample in samples(plain, name):
        contexts = dict.fromkeys(argument[0] for argument in sample["arguments"] if argument[0])
        values.append(float(np.mean([loglikelihood(lm, context) for context in contexts])))
        assert sample["dispersion"]["signals"]["prompt_loglikelihood"] == pytest.approx(values[-1], abs=1e-5)
    assert_mean(of(plain, name)["signals"]["prompt_loglikelihood"], values)


def test_a_prompt_that_was_cut_begins_with_a_token_that_nothing_predicts(tiny_llama: Path, folder: Path) -> None:
    lm = HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32", batch_size=2, max_length=48)
    for sample in samples(evaluated(lm, folder, "stock_last_word"), "stock_last_word"):
        ((context, continuation),) = sample["arguments"]
        after = len(lm.tok_encode(context + continuation)) - len(lm.tok_encode(context.rstrip()))
        expected = loglikelihood(lm, context, 48 + 1 - after)
        assert sample["dispersion"]["truncated"]
        assert sample["dispersion"]["signals"]["prompt_loglikelihood"] == pytest.approx(expected, abs=1e-5)


def test_signals_of_a_corpus_are_those_of_its_windows(lm: HFLM, everything: dict[str, Any]) -> None:
    sample, *more = samples(everything, "stock_long")
    windows = document_windows(lm, sample["doc"]["text"], {lm.eot_token_id})
    logged = sample["dispersion"]["windows"]
    assert len(logged) == len(windows) > 1
    means: list[dict[str, Any]] = []
    for window, (vectors, _, _) in zip(logged, windows, strict=True):
        if window["layers"] is None:
            assert window["signals"] == dict.fromkeys(SIGNALS)
            continue
        expected = [signals(vectors[layer]) for layer in (0, 2)]
        for name in SIGNALS:
            assert window["signals"][name] == pytest.approx([e[name] for e in expected], rel=1e-4, abs=1e-6)
        means.append(window["signals"])
    for name in SIGNALS:
        mean = np.mean([one[name] for one in means], axis=0)
        assert sample["dispersion"]["signals"][name] == pytest.approx(mean, rel=1e-6)
    # Over all windows, with a standard error clustered by document, as D.
    record = of(everything, "stock_long")
    values = [
        [w["signals"]["rankme"][0] for w in s["dispersion"]["windows"] if w["layers"] is not None]
        for s in (sample, *more)
    ]
    flat, g = np.concatenate(values), len([v for v in values if v])
    error = np.sqrt(g / (g - 1) * sum((sum(v) - len(v) * flat.mean()) ** 2 for v in values)) / len(flat)
    one = record["signals"]["rankme"]
    assert one["layers"] == [0, 2] and one["n"] == [record["counts"]["segments"]] * 2 == [len(flat)] * 2
    assert (one["mean"][0], one["stderr"][0]) == pytest.approx((flat.mean(), error), rel=1e-5)


@pytest.mark.parametrize("name", ["stock_contexts", "stock_letters", "stock_generate"])
def test_signals_of_a_prompt_are_of_its_tokens_and_one_value_a_document(
    name: str, lm: HFLM, everything: dict[str, Any]
) -> None:
    values: list[float] = []
    for sample in samples(everything, name):
        contexts = dict.fromkeys(argument[0] for argument in sample["arguments"])
        vectors = [states(lm.model, lm.tok_encode(context.rstrip())) for context in contexts]
        found = sample["dispersion"]["signals"]
        for place, layer in enumerate((0, 2)):
            expected = [signals(some[layer]) for some in vectors]
            for key in SIGNALS:
                mean = np.mean([e[key] for e in expected])
                assert found[key][place] == pytest.approx(mean, rel=1e-4, abs=1e-6)
        values.append(found["effective_rank"][1])
    one = of(everything, name)["signals"]["effective_rank"]
    assert one["n"] == [LIMIT] * 2
    assert (one["mean"][1], one["stderr"][1]) == pytest.approx((np.mean(values), sem(values)), rel=1e-4)


def test_the_first_vector_alone_is_what_dispersion_without_it_leaves_out(lm: HFLM, everything: dict[str, Any]) -> None:
    sample = samples(everything, "stock_last_word")[0]
    vectors = states(lm.model, lm.tok_encode(sample["arguments"][0][0].rstrip()))[2]
    assert sample["dispersion"]["within"] != sample["dispersion"]["signals"]["dispersion_without_first"][1]
    assert sample["dispersion"]["signals"]["dispersion_without_first"][1] == pytest.approx(
        signals(vectors)["dispersion_without_first"], abs=1e-5
    )


def test_an_answer_from_the_cache_has_its_signals(lm: HFLM, folder: Path, tmp_path: Path) -> None:
    names, asked = ("stock_letters", "stock_contexts", "stock_long"), {"signals": "all", "signal_layers": "all"}
    first, second = (evaluated(lm, folder, *names, cache=tmp_path / "answers", **asked) for _ in range(2))
    for name in names:
        assert of(second, name)["counts"]["cached_answers"] >= LIMIT
        assert of(second, name)["signals"] == of(first, name)["signals"]
        assert of(first, name)["signals"]["rankme"]["layers"] == [0, 1, 2]
        assert None not in of(first, name)["signals"]["rankme"]["mean"]
    # Without them, and with those of other layers, it is another answer.
    for options in ({}, {"signals": "all"}):
        assert of(evaluated(lm, folder, "stock_long", cache=tmp_path / "answers", **options), "stock_long")["counts"][
            "cached_answers"
        ] == 0  # fmt: skip


def test_an_interrupted_run_keeps_the_signals_of_the_answers_that_it_keeps(
    lm: HFLM, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval_dispersion.harness._cache import Answers

    real, kept = Answers.add_partial, 0

    def stops(self: Any, *args: Any) -> None:
        nonlocal kept
        if kept == 4:  # amid the second batch of three
            raise KeyboardInterrupt
        kept += 1
        real(self, *args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Answers, "add_partial", stops)
        evaluated(lm, folder, "stock_last_word", cache=tmp_path / "answers")
    whole, again = (
        evaluated(lm, folder, "stock_last_word"),
        evaluated(lm, folder, "stock_last_word", cache=tmp_path / "answers"),
    )
    assert of(again, "stock_last_word")["counts"]["cached_answers"] == 4
    one, other = (of(found, "stock_last_word")["signals"]["prompt_loglikelihood"] for found in (whole, again))
    assert other["n"] == LIMIT and other["mean"] == pytest.approx(one["mean"], rel=1e-6)


def test_a_signal_that_fails_is_null_and_the_run_is_unharmed(lm: HFLM, folder: Path) -> None:
    from lm_eval_dispersion.harness import _answers

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("no signal today")

    names = ("stock_letters", "stock_long")
    stock = evaluated(lm, folder, *names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_spectra, "spectrum", fails)
        patch.setattr(_scores, "max", fails, raising=False)
        patch.setattr(_answers, "confidence", fails)
        found = evaluated(lm, folder, *names, signals="all")
    for name in names:
        record = of(found, name)
        jsonschema.validate(record, schema())
        assert found["results"][recorded(name)] == stock["results"][recorded(name)]
        assert record["undefined"] is None and record["within"] == of(stock, name)["within"]
        for one in record["signals"].values():
            assert one["mean"] in (None, [None]) and one["n"] in (0, [0])
    assert set(of(found, "stock_letters")["signals"]) == {*ANSWERS, "prompt_loglikelihood", *SIGNALS}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"signals": "some"}, 'signals must be "free" or "all"'),
        ({"signals": "all", "signal_layers": "first"}, 'signal_layers must be "all", "last" or a list'),
        ({"signal_layers": [1]}, 'signal_layers are those of "signals": "all"'),
        ({"signals": "all", "signal_layers": [7]}, r"layer 7 was asked for; the model has h[0] to h[2]"),
    ],
)
def test_an_option_that_means_nothing_is_refused_in_one_line(
    options: dict[str, Any], said: str, lm: HFLM, folder: Path
) -> None:
    with pytest.raises(TaskError) as refused:
        evaluated(lm, folder, "stock_letters", **options)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_measure_has_them_too(lm: HFLM, tmp_path: Path) -> None:
    texts = demo_code()["test"]["text"][:3]
    (tmp_path / "code.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    manager = task_manager(
        Path(tasks_folder()), metadata={"dispersion": {"text": str(tmp_path / "*.jsonl"), "signals": "all"}}
    )
    run = simple_evaluate(model=lm, tasks=["dispersion_text"], task_manager=manager, bootstrap_iters=0)
    record = run["configs"]["dispersion_text"]["metadata"]["dispersion"]
    found = measure(lm.model, lm.tokenizer, texts, batch_size=3, definition=Definition(signals="all"))
    assert list(found.signals) == list(SIGNALS) == list(record["signals"])
    for name in SIGNALS:
        assert found.signals[name]["layers"] == [2] and found.signals[name]["n"] == record["signals"][name]["n"]
        assert found.signals[name]["mean"] == pytest.approx(record["signals"][name]["mean"])
    assert measure(lm.model, lm.tokenizer, texts[:1]).signals == {}
