"""A run is never lost to D: what cannot be measured is null, with its reason, beside lm_eval's own numbers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from stock import EVERY, LONG, recorded, task_manager, write_tasks

from lm_eval_dispersion._discovery import tasks_folder
from lm_eval_dispersion._errors import TaskError
from lm_eval_dispersion.record import schema

NAMES = ("stock_rolling", "stock_letters", "stock_generate")


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return task_manager(write_tasks(tmp_path_factory.mktemp("tasks"), {name: EVERY[name] for name in NAMES}))


class Hidden(HFLM):
    """A model of lm_eval's whose network is no transformers model any more."""

    def __init__(self, folder: Path, hide: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(pretrained=str(folder), device="cpu", max_length=512, **kwargs)
        hide(self)


class Bare(torch.nn.Module):
    """Runs a model without being one of transformers'."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.run = [inner]  # in a list, so that it is no submodule
        self.config, self.device, self.dtype = inner.config, inner.device, inner.dtype

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.run[0](*args, **kwargs)

    def generate(self, **kwargs: Any) -> Any:
        return self.run[0].generate(**kwargs)

    def tie_weights(self) -> None:
        """As transformers' models have it."""


def bare(lm: Any) -> None:
    lm._model = Bare(lm.model)


def one_block_twice(lm: Any) -> None:
    blocks = lm.model.model.layers
    lm.model.model.layers = torch.nn.ModuleList([blocks[0], blocks[0]])
    lm.model.config.use_cache = False


def compiled(lm: Any) -> None:
    lm._model = torch.compile(lm.model, backend="eager")


def evaluate(lm: Any, names: list[str], manager: Any, **options: Any) -> dict[str, Any]:
    found = simple_evaluate(model=lm, tasks=names, limit=3, task_manager=manager, bootstrap_iters=10, **options)
    return dict(found)


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if "," in key and not key.startswith("dispersion")}


def assert_stock_numbers(found: dict[str, Any], stock: dict[str, Any], names: tuple[str, ...] = NAMES) -> None:
    for name in names:
        assert numbers(found["results"][recorded(name)]) == numbers(stock["results"][name])


@pytest.mark.parametrize(("hide", "reason"), [(bare, "is no transformers model"), (one_block_twice, "more than once")])
def test_a_model_without_hidden_states_keeps_every_stock_number(
    hide: Any, reason: str, tiny_llama: Path, manager: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lm = Hidden(tiny_llama, hide)
    stock = evaluate(lm, list(NAMES), manager)
    with caplog.at_level(logging.WARNING):
        found = evaluate(lm, [*map(recorded, NAMES), "stock_letters"], manager)
    assert_stock_numbers(found, stock)
    for name in map(recorded, NAMES):
        record = found["configs"][name]["metadata"]["dispersion"]
        jsonschema.validate(record, schema())
        assert reason in record["undefined"] and record["layers"] == [] and record["across"] is None
        assert found["results"][name][next(k for k in found["results"][name] if k.startswith("dispersion,"))] is None
    said = [r.getMessage() for r in caplog.records if "no dispersion" in r.getMessage()]
    assert len(said) == 1 and reason in said[0]


@pytest.mark.parametrize(("hide", "reason"), [(bare, "is no transformers model"), (one_block_twice, "more than once")])
def test_where_nothing_but_d_was_asked_for_a_model_without_it_ends_at_once_in_one_line(
    hide: Any, reason: str, tiny_llama: Path, manager: Any
) -> None:
    with pytest.raises(TaskError, match=rf"\Alm-eval-dispersion: \w+ .*{reason}.*\Z"):
        evaluate(Hidden(tiny_llama, hide), [recorded("stock_letters")], manager)


def test_a_compiled_model_and_one_that_searches_with_beams_have_stock_numbers(tiny_llama: Path, manager: Any) -> None:
    plain = Hidden(tiny_llama, lambda lm: None)
    options = {"gen_kwargs": {"num_beams": 2, "do_sample": False}}
    for lm in (plain, Hidden(tiny_llama, compiled)):
        found = evaluate(lm, [*map(recorded, NAMES), "stock_letters"], manager, **options)
        assert_stock_numbers(found, evaluate(plain, list(NAMES), manager, **options))
        for name in map(recorded, NAMES):
            record = found["configs"][name]["metadata"]["dispersion"]
            jsonschema.validate(record, schema())
            assert (record["undefined"] is None) == bool(record["layers"])


def test_a_model_that_cannot_be_described_is_measured(
    tiny_llama: Path, manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval_dispersion.capture import _hf

    def fails(_: Any) -> None:
        raise RuntimeError("no parameters here")

    monkeypatch.setattr(_hf, "describe", fails)
    lm = Hidden(tiny_llama, lambda lm: None)
    record = evaluate(lm, ["recorded_letters"], manager)["configs"]["recorded_letters"]["metadata"]["dispersion"]
    jsonschema.validate(record, schema())
    assert len(record["within"]["mean"]) == 3 and record["undefined"] is None
    assert record["model"] is None and record["engine"] is None


def test_what_fails_after_the_last_request_is_null_with_the_reason(
    tiny_llama: Path, manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval_dispersion.record import Summary

    lm = Hidden(tiny_llama, lambda lm: None)
    stock = evaluate(lm, ["stock_letters"], manager)
    real = Summary.within.func  # type: ignore[attr-defined]
    calls: list[int] = []

    def once(self: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError("no room for the jackknife")
        return real(self)

    monkeypatch.setattr(Summary, "within", property(once))
    found = evaluate(lm, ["recorded_letters"], manager)
    assert_stock_numbers(found, stock, ("stock_letters",))
    record = found["configs"]["recorded_letters"]["metadata"]["dispersion"]
    jsonschema.validate(record, schema())
    assert "no room for the jackknife" in record["undefined"]
    assert found["results"]["recorded_letters"]["dispersion,none"] is None


def test_perplexity_by_word_of_a_text_without_spaces_is_null_and_the_rest_stays(
    tiny_llama: Path, tmp_path: Path
) -> None:
    (tmp_path / "chinese.jsonl").write_text(json.dumps({"text": "天地玄黄宇宙洪荒日月盈昃辰宿列张" * 60}) + "\n")
    write_tasks(tmp_path / "tasks", {"stock_long": LONG})
    options = {"dispersion": {"text": str(tmp_path / "chinese.jsonl")}}
    manager = task_manager(Path(tasks_folder()), tmp_path / "tasks", metadata=options)
    lm = Hidden(tiny_llama, lambda lm: None)
    found = evaluate(lm, ["dispersion_text", "recorded_long"], manager)
    row = found["results"]["dispersion_text"]
    assert row["word_perplexity,none"] is None and row["word_perplexity_stderr,none"] == "N/A"
    assert row["bits_per_byte,none"] > 0 and row["dispersion,none"] > 0
    record = found["configs"]["dispersion_text"]["metadata"]["dispersion"]
    jsonschema.validate(record, schema())
    assert "weighted_perplexity" in record["failed_aggregations"] and record["undefined"] is None
    assert found["results"]["recorded_long"]["word_perplexity,none"] > 0


def test_a_mistake_is_an_exception_that_a_program_can_catch(tiny_llama: Path) -> None:
    manager = task_manager(Path(tasks_folder()), metadata={"dispersion": {"text": "none.jsonl"}})
    with pytest.raises(Exception, match=r"no file matches 'none\.jsonl'") as caught:
        simple_evaluate(model=Hidden(tiny_llama, lambda lm: None), tasks=["dispersion_text"], task_manager=manager)
    assert type(caught.value) is TaskError and not isinstance(caught.value, SystemExit)
