"""What a labelled task's record says of right and wrong answers' vectors, from real runs of lm_eval."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from reference import all_pairs, leading, states
from stock import CHOICE, EVERY, recorded, task_manager, write_tasks

from lm_eval_dispersion.record import schema

NAMES = ("stock_choice", "stock_contexts", "stock_generate", "stock_rolling", "stock_last_word")
PLAIN = CHOICE.replace("stock_choice", "stock_plain").replace("num_fewshot: 2", "num_fewshot: 0")

Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def lm(tiny_llama: Path) -> HFLM:
    return HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32", batch_size=8)


@pytest.fixture(scope="module")
def evaluate(lm: HFLM, tmp_path_factory: pytest.TempPathFactory) -> Evaluate:
    tasks = {name: EVERY[name] for name in NAMES} | {"stock_plain": PLAIN}
    manager = task_manager(write_tasks(tmp_path_factory.mktemp("tasks"), tasks))

    def run(*names: str, limit: int = 100, **options: Any) -> dict[str, Any]:
        options = {"model": lm, **options}
        found = simple_evaluate(tasks=list(names), limit=limit, task_manager=manager, bootstrap_iters=2, **options)
        for name in names:
            if name.startswith("recorded_"):
                jsonschema.validate(found["configs"][name]["metadata"]["dispersion"], schema())
        return dict(found)

    return run


def slices_of(found: dict[str, Any], name: str) -> Any:
    return found["configs"][recorded(name)]["metadata"]["dispersion"]["slices"]


@pytest.fixture(scope="module")
def plain(evaluate: Evaluate) -> dict[str, Any]:
    return evaluate("recorded_plain")


def test_the_numbers_are_those_of_transformers_own_states(lm: HFLM, plain: dict[str, Any]) -> None:
    record = slices_of(plain, "stock_plain")
    samples = sorted(plain["samples"]["recorded_plain"], key=lambda sample: sample["doc_id"])
    vectors, right = [], np.array([sample["acc"] == 1 for sample in samples])
    for sample in samples:
        tokens = lm.tok_encode(sample["arguments"][0][0])
        assert not leading(tokens, {lm.eot_token_id})
        vectors.append(states(lm.model, tokens)[-1, -1])
    x = torch.nn.functional.normalize(torch.stack(vectors).double(), dim=-1)
    among_right, among_wrong = 1 - all_pairs(x[right]), 1 - all_pairs(x[~right])
    between = float((x[right] @ x[~right].T).mean())
    cosines = record["cosines"]
    assert cosines["right"]["value"] == pytest.approx(among_right, abs=1e-6)
    assert cosines["between"]["value"] == pytest.approx(between, abs=1e-6)
    assert cosines["wrong"]["value"] == pytest.approx(among_wrong, abs=1e-6)
    assert record["difference"]["value"] == pytest.approx(among_wrong - among_right, abs=1e-6)
    assert record["difference"]["low"] < record["difference"]["value"] < record["difference"]["high"]
    assert (record["right"], record["wrong"], record["left_out"]) == (right.sum(), (~right).sum(), 0)
    assert (record["metric"], record["filter"], record["layer"]) == ("acc", "none", 2)
    # The ends of the curve are D of each class.
    curve = record["curve"]
    np.testing.assert_allclose(
        [curve["expected"][0], curve["expected"][-1]], [1 - among_wrong, 1 - among_right], atol=1e-6
    )
    assert all(len(values) == 11 for values in curve.values())


def test_d_across_all_documents_is_that_of_the_record(plain: dict[str, Any]) -> None:
    """The same vectors: all pairs are of the three kinds."""
    record = plain["configs"]["recorded_plain"]["metadata"]["dispersion"]
    found = record["slices"]
    c, w = found["right"], found["wrong"]
    pairs = {"right": c * (c - 1), "between": 2 * c * w, "wrong": w * (w - 1)}
    mean = sum(pairs[kind] * found["cosines"][kind]["value"] for kind in pairs) / sum(pairs.values())
    assert 1 - mean == pytest.approx(record["across"]["dispersion"][-1], abs=1e-6)


def test_strata_are_subject_answer_letter_and_thirds_by_length(plain: dict[str, Any]) -> None:
    record, samples = slices_of(plain, "stock_plain"), plain["samples"]["recorded_plain"]
    strata = record["strata"]
    assert set(strata) == {"subject", "answer", "length"}
    assert strata["subject"]["labels"] == sorted({sample["doc"]["subject"] for sample in samples})
    assert strata["subject"]["gram"] is None  # of 20 subjects and more
    by_letter = dict(zip(strata["answer"]["labels"], strata["answer"]["right"], strict=True))
    letters = ["ABCDE"[sample["doc"]["answer"]] for sample in samples]
    assert by_letter == {
        letter: sum(mine == letter and sample["acc"] == 1 for mine, sample in zip(letters, samples, strict=True))
        for letter in sorted(set(letters))
    }
    thirds = [right + wrong for right, wrong in zip(strata["length"]["right"], strata["length"]["wrong"], strict=True)]
    assert len(thirds) == 3 and sum(thirds) == 100 and min(thirds) > 25
    assert np.array(strata["length"]["gram"]).shape == (6, 6)
    within = [one["within"] for one in record["permutations"]]
    assert within == [[], ["subject"], ["answer"], ["length"], ["subject", "answer", "length"]]
    assert record["permutations"][0]["shuffled"] == 100
    assert record["permutations"][-1]["shuffled"] < 100


def test_stock_numbers_are_as_they_were_and_a_second_run_says_the_same(
    evaluate: Evaluate, plain: dict[str, Any]
) -> None:
    again = evaluate("recorded_plain", "stock_plain")
    assert slices_of(again, "stock_plain") == slices_of(plain, "stock_plain")
    ours, theirs = (again["results"][name] for name in ("recorded_plain", "stock_plain"))
    assert {key: ours[key] for key in theirs if key.startswith("acc")} == {
        key: value for key, value in theirs.items() if key.startswith("acc")
    }


def test_where_there_is_nothing_to_say_the_reason_is_recorded(evaluate: Evaluate) -> None:
    found = evaluate(*map(recorded, ("stock_contexts", "stock_generate", "stock_rolling", "stock_last_word")), limit=30)
    assert slices_of(found, "stock_rolling") is None
    assert "several contexts" in slices_of(found, "stock_contexts")["undefined"]
    # A model with random weights generates no right answer, and guesses no word.
    assert slices_of(found, "stock_generate")["undefined"].startswith("0 of 30 answers are right by exact_match; ")
    assert slices_of(found, "stock_last_word")["undefined"].startswith("0 of 30 answers are right by acc; ")
    few = evaluate("recorded_plain", limit=12)
    assert slices_of(few, "stock_plain")["undefined"] == "12 documents with a vector and an answer; at least 20"
    assert (
        "no metric of the task"
        in slices_of(evaluate("recorded_plain", limit=30, predict_only=True), "stock_plain")["undefined"]
    )


def test_answers_from_a_cache_have_no_vectors(evaluate: Evaluate, tiny_llama: Path, tmp_path: Path) -> None:
    model = {"model": "hf", "model_args": {"pretrained": str(tiny_llama), "dtype": "float32"}, "device": "cpu"}
    options = {**model, "batch_size": 8, "use_cache": str(tmp_path / "answers")}
    first, second = (slices_of(evaluate("recorded_plain", limit=60, **options), "stock_plain") for _ in range(2))
    assert first["undefined"] is None
    assert second["undefined"] == "60 answers came from --use_cache, which keeps no vectors"


@pytest.mark.parametrize("where", ["_marks._mark", "_marks.slices"])
def test_a_failure_is_a_null_with_its_reason_and_all_else_is_there(
    where: str, evaluate: Evaluate, plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise MemoryError("no room for single vectors")

    monkeypatch.setattr(f"lm_eval_dispersion.harness.{where}", fails)
    found = evaluate("recorded_plain")
    record, before = (run["configs"]["recorded_plain"]["metadata"]["dispersion"] for run in (found, plain))
    assert record["slices"] == {"undefined": "MemoryError: no room for single vectors"}
    assert {**record, "slices": None} == {**before, "slices": None}
    assert found["results"]["recorded_plain"] == plain["results"]["recorded_plain"]


@pytest.mark.parametrize("left", [3, 1])
def test_vectors_that_are_not_finite_are_left_out(left: int, evaluate: Evaluate, lm: HFLM) -> None:
    """The final norm of this model gives NaN but for prompts whose first token is one of so many in four."""
    first: list[torch.Tensor] = []

    def hear(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        first.append(kwargs.get("input_ids", *args)[:, 0])

    def broken(_: Any, __: Any, state: torch.Tensor) -> torch.Tensor:
        return state.masked_fill((first[-1] % 4 >= left)[:, None, None], float("nan"))

    hooks = (
        lm.model.model.register_forward_pre_hook(hear, with_kwargs=True),
        lm.model.model.norm.register_forward_hook(broken),
    )
    try:
        run = evaluate("recorded_plain")
    finally:
        for hook in hooks:
            hook.remove()
    found = slices_of(run, "stock_plain")
    bad = sum(lm.tok_encode(sample["arguments"][0][0])[0] % 4 >= left for sample in run["samples"]["recorded_plain"])
    if left == 3:
        assert found["left_out"] == bad and found["right"] + found["wrong"] == 100 - bad
    else:
        assert f"({bad} others' vectors are zero or not finite); at least" in found["undefined"]


def test_nothing_of_a_vector_is_in_the_results(plain: dict[str, Any], lm: HFLM) -> None:
    """No list of the record is as long as a vector, but for Gram matrices, which are of sums."""

    def lists(value: Any) -> list[int]:
        if isinstance(value, dict):
            return [n for key, part in value.items() if key not in ("gram", "labels", "quantiles") for n in lists(part)]
        return [len(value), *(n for part in value for n in lists(part))] if isinstance(value, list) else []

    record = json.loads(json.dumps(slices_of(plain, "stock_plain")))
    record["strata"].pop("subject")  # a number a subject
    assert max(lists(record)) < lm.model.config.hidden_size
