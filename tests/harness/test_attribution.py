"""Every D belongs to the right document, whatever lm_eval does with requests on the way to a forward pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference import LEAST, all_pairs, document_windows, leading, profile, states
from stock import EVERY, recorded, task_manager, write_tasks

Run = Callable[..., tuple[Any, dict[str, Any]]]
LIMIT = 4
PROMPTS = [recorded(t) for t in EVERY if t not in ("stock_rolling", "stock_long")]
CORPORA = [recorded("stock_rolling"), recorded("stock_long")]


@pytest.fixture(scope="module")
def run(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Evaluates tasks on the tiny model built with the given arguments; (lm, results with samples)."""
    manager = task_manager(write_tasks(tmp_path_factory.mktemp("tasks"), EVERY))

    def evaluate(tasks: list[str], lm: Any = None, evaluation: dict[str, Any] | None = None, **arguments: Any) -> Any:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        defaults: dict[str, Any] = {"pretrained": str(tiny_llama), "device": "cpu", "dtype": "float32"}
        lm = lm or HFLM(**defaults | arguments)
        options = {"limit": LIMIT, "bootstrap_iters": 10, "task_manager": manager} | (evaluation or {})
        return lm, simple_evaluate(model=lm, tasks=tasks, **options)

    return evaluate


def special_tokens(lm: Any) -> set[int]:
    return {t for t in (lm.tokenizer.bos_token_id, lm.tokenizer.eos_token_id) if t is not None}


def expected_prompt(lm: Any, contexts: list[str]) -> np.ndarray:
    profiles = []
    for context in contexts:
        tokens = lm.tok_encode(context)
        h = states(lm.model, tokens)[:, leading(tokens, special_tokens(lm)) :]
        profiles.append(profile(h))
    return np.mean(profiles, axis=0)


def logged(results: dict[str, Any], task: str) -> list[dict[str, Any]]:
    return sorted(results["samples"][task], key=lambda s: (s["doc_id"], s["filter"]))


def check_prompts(lm: Any, results: dict[str, Any], tolerance: float = 1e-5) -> None:
    for task in (t for t in PROMPTS if t in results["results"]):
        documents = logged(results, task)
        assert documents
        for sample in documents:
            contexts = list(dict.fromkeys(arguments[0] for arguments in sample["arguments"]))
            expected = expected_prompt(lm, contexts)
            np.testing.assert_allclose(sample["dispersion"]["layers"], expected, atol=tolerance, err_msg=task)
        filters = {sample["filter"] for sample in documents}
        first = [sample for sample in documents if sample["filter"] == sorted(filters)[0]]
        mean = np.mean([sample["dispersion"]["within"] for sample in first])
        for name in filters:
            assert results["results"][task][f"dispersion,{name}"] == pytest.approx(mean, abs=1e-6)


def check_corpora(lm: Any, results: dict[str, Any], tolerance: float = 1e-5) -> None:
    for task in (t for t in CORPORA if t in results["results"]):
        for sample in logged(results, task):
            windows = document_windows(lm, sample["arguments"][0][0], special_tokens(lm))
            got = sample["dispersion"]["windows"]
            assert [w["tokens"] for w in got] == [tokens for _, _, tokens in windows]
            assert [w["vectors"] for w in got] == [h.shape[1] for h, _, _ in windows]
            for window, (h, loglikelihood, _) in zip(got, windows, strict=True):
                assert window["loglikelihood"] == pytest.approx(loglikelihood, rel=max(1e-5, tolerance))
                assert (window["layers"] is None) == (h.shape[1] < LEAST)
                if window["layers"] is not None:
                    np.testing.assert_allclose(window["layers"], profile(h), atol=tolerance)


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 1},
        {"batch_size": 4},
        {"batch_size": 4, "logits_cache": False},
        {"batch_size": "auto", "max_batch_size": 4},
        {"batch_size": 3, "add_bos_token": True},
    ],
    ids=lambda a: ",".join(f"{k}={v}" for k, v in a.items()),
)
def test_every_document_has_the_dispersion_transformers_own_states_give(run: Run, arguments: dict[str, Any]) -> None:
    lm, results = run([*PROMPTS, *CORPORA], **arguments)
    check_prompts(lm, results)
    check_corpora(lm, results)


@pytest.mark.parametrize("arguments", [{"device_map": "auto"}, {"parallelize": True}], ids=lambda a: next(iter(a)))
def test_a_model_that_accelerate_has_placed_is_measured_alike(run: Run, arguments: dict[str, Any]) -> None:
    tasks = [recorded("stock_letters"), recorded("stock_long")]
    lm, results = run(tasks, batch_size=2, evaluation={"limit": 2}, **arguments)
    check_prompts(lm, results)
    check_corpora(lm, results)


def test_few_shot_and_chat_template_prompts_are_measured_as_fed(run: Run) -> None:
    from lm_eval.models.huggingface import HFLM

    template = "{% for m in messages %}<|endoftext|>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    lm, _ = run([recorded("stock_letters")], evaluation={"limit": 1})
    assert isinstance(lm, HFLM)
    lm.tokenizer.chat_template = template
    lm, results = run(
        [recorded("stock_letters"), recorded("stock_generate")],
        lm=lm,
        evaluation={"apply_chat_template": True, "num_fewshot": 2, "fewshot_as_multiturn": True},
    )
    context = logged(results, recorded("stock_letters"))[0]["arguments"][0][0]
    assert context.count("user:") == 3 and context.startswith("<|endoftext|>user")
    check_prompts(lm, results)


def test_a_truncated_prompt_is_measured_on_what_is_left_and_counted(run: Run) -> None:
    lm, results = run([recorded("stock_choice"), recorded("stock_generate")], max_length=60, batch_size=3)
    for task, keep in ((recorded("stock_choice"), None), (recorded("stock_generate"), 60 - 8)):
        truncated = 0
        for sample in logged(results, task):
            context, continuation = sample["arguments"][0]
            tokens = lm.tok_encode(context)
            if keep is None:
                context_tokens, continuation_tokens = lm._encode_pair(context, continuation)
                row = (context_tokens + continuation_tokens)[-61:][:-1]
                left = row[: len(row) - len(continuation_tokens) + 1]
            else:
                # left-truncated to the longest the batch may have; pads are not counted
                left = tokens[-keep:]
            cut = len(left) < len(tokens)
            h = states(lm.model, row if keep is None else left)[:, : len(left)]
            np.testing.assert_allclose(sample["dispersion"]["layers"], profile(h), atol=1e-5)
            assert sample["dispersion"]["truncated"] is cut
            truncated += cut and sample["filter"] in ("none", "whole")
        record = results["configs"][task]["metadata"]["dispersion"]
        assert record["counts"]["truncated_prompts"] == truncated > 0


def test_bfloat16_is_summed_in_float32(run: Run) -> None:
    lm, results = run([recorded("stock_long"), recorded("stock_letters")], dtype="bfloat16", batch_size=1)
    check_prompts(lm, results, tolerance=2e-2)
    check_corpora(lm, results, tolerance=2e-2)
    assert results["configs"][recorded("stock_long")]["metadata"]["dispersion"]["engine"]["dtype"] == "bfloat16"


def test_a_peft_adapter_is_measured_with_its_weights(run: Run, tiny_llama: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    adapted = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    lm, results = run([recorded("stock_letters"), recorded("stock_long")], peft=str(tmp_path / "adapter"), batch_size=2)
    check_prompts(lm, results)
    check_corpora(lm, results)
    plain = run([recorded("stock_letters")])[1]["results"][recorded("stock_letters")]["dispersion,none"]
    assert results["results"][recorded("stock_letters")]["dispersion,none"] != pytest.approx(plain, abs=1e-3)


def test_samples_and_limit_choose_documents_as_in_lm_eval(run: Run) -> None:
    task = recorded("stock_generate")  # zero-shot: few-shot examples are drawn in document order
    _, some = run([task], evaluation={"limit": None, "samples": {task: [1, 3]}})
    _, first = run([task])
    by_document = {s["doc_id"]: s["dispersion"]["layers"] for s in logged(first, task)}
    assert [s["doc_id"] for s in logged(some, task)] == [1, 1, 3, 3]
    for sample in logged(some, task):
        np.testing.assert_allclose(sample["dispersion"]["layers"], by_document[sample["doc_id"]], atol=1e-6)


def test_across_all_pairs_and_their_counts_are_over_the_documents_vectors(run: Run) -> None:
    lm, results = run(CORPORA, batch_size=4)
    for task in CORPORA:
        windows = [
            h
            for s in logged(results, task)
            for h, _, _ in document_windows(lm, s["arguments"][0][0], special_tokens(lm))
            if h.shape[1] >= LEAST
        ]
        record = results["configs"][task]["metadata"]["dispersion"]
        last = torch.stack([h[:, -1] for h in windows], dim=1)
        np.testing.assert_allclose(record["across"]["dispersion"], profile(last), atol=1e-5)
        np.testing.assert_allclose(record["all_pairs"]["dispersion"], profile(torch.cat(windows, 1)), atol=1e-5)
        assert record["across"]["n"] == [len(windows)] * 3
        assert record["all_pairs"]["n"] == [sum(h.shape[1] for h in windows)] * 3 == [record["counts"]["vectors"]] * 3
        assert record["counts"]["segments"] == len(windows)
        within = np.mean([profile(h) for h in windows], axis=0)
        np.testing.assert_allclose(record["within"]["mean"], within, atol=1e-5)
        assert results["results"][task]["dispersion,none"] == record["within"]["mean"][-1]
        assert results["results"][task]["dispersion_across,none"] == pytest.approx(all_pairs(last[-1]), abs=1e-5)


def test_cached_requests_are_measured_alike(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path))
    task = recorded("stock_letters")
    first, second = (run([task], evaluation={"cache_requests": True})[1] for _ in range(2))
    assert list(tmp_path.iterdir())
    assert first["results"][task]["dispersion,none"] == second["results"][task]["dispersion,none"]
    assert second["configs"][task]["metadata"]["dispersion"]["counts"]["segments"] == LIMIT


def test_one_forward_pass_a_row_as_in_stock(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlamaForCausalLM

    calls: list[tuple[int, ...]] = []
    forward = LlamaForCausalLM.forward

    def counted(self: Any, input_ids: Any = None, *args: Any, **kwargs: Any) -> Any:
        calls.append(tuple(input_ids.shape))
        return forward(self, input_ids, *args, **kwargs)

    monkeypatch.setattr(LlamaForCausalLM, "forward", counted)
    names = [t for t in EVERY if t != "stock_long"]
    run(names, batch_size=3, max_length=512)
    stock, calls[:] = list(calls), []
    run([recorded(t) for t in names], batch_size=3, max_length=512)
    assert calls == stock and stock


def test_a_model_class_that_batches_its_own_way_has_no_dispersion_and_is_told_why(run: Run, tiny_llama: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    class Shuffles(HFLM):
        def _model_call(self, inps: Any, *args: Any, **kwargs: Any) -> Any:
            return super()._model_call(inps, *args, **kwargs)

        def _loglikelihood_tokens(self, requests: Any, *args: Any, **kwargs: Any) -> Any:
            reversed_tokens = [(pair, context[::-1], continuation) for pair, context, continuation in requests]
            return super()._loglikelihood_tokens(reversed_tokens, *args, **kwargs)

    class Hides(HFLM):
        def _loglikelihood_tokens(self, requests: Any, *args: Any, **kwargs: Any) -> Any:
            return [(-1.0, False) for _ in requests]

    # A subclass that changes what is fed is outside what we listen to: it changes the tokens after we saw them.
    for model in (Hides, Shuffles):
        lm = model(pretrained=str(tiny_llama), device="cpu")
        _, found = run([recorded("stock_letters")], lm=lm)
        record = found["configs"][recorded("stock_letters")]["metadata"]["dispersion"]
        assert "never seen in a forward pass" in record["undefined"]
        assert record["within"]["mean"] == [] and record["across"] is None
        row, stock = found["results"][recorded("stock_letters")], run(["stock_letters"], lm=lm)[1]["results"]
        assert row["dispersion,none"] is None and row["acc,none"] == stock["stock_letters"]["acc,none"]
