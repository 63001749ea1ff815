"""``--use_cache``: our answers carry D, stock runs never read them, and a cached answer is seen as such."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stock import EVERY, recorded, task_manager, write_tasks

Run = Callable[[list[str]], dict[str, Any]]
NAMES = ("stock_rolling", "stock_letters", "stock_generate")


@pytest.fixture
def run(tiny_llama: Path, tmp_path: Path) -> Run:
    """Evaluates tasks with a cache in the test's folder, each time on a model made anew."""
    manager = task_manager(write_tasks(tmp_path / "tasks", {name: EVERY[name] for name in NAMES}))

    def evaluate(wanted: list[str]) -> dict[str, Any]:
        from lm_eval import simple_evaluate

        model = {"pretrained": str(tiny_llama), "dtype": "float32"}
        options = {"limit": 5, "batch_size": 2, "use_cache": str(tmp_path / "answers"), "task_manager": manager}
        return dict(simple_evaluate(model="hf", device="cpu", model_args=model, tasks=wanted, **options))

    return evaluate


def test_a_second_run_has_the_same_numbers_from_the_cache_and_stock_ones_are_not_mixed_in(run: Run) -> None:
    ours = [recorded(name) for name in NAMES]
    first, second, stock = run(ours), run(ours), run(list(NAMES))
    for name in NAMES:
        one, two = (r["configs"][recorded(name)]["metadata"]["dispersion"] for r in (first, second))
        assert one["counts"]["cached_answers"] == 0 and one["across"] is not None
        assert two["counts"]["cached_answers"] == 5
        # vectors are never stored, so what needs them is null rather than made of a part of them
        assert two["across"] is None and two["all_pairs"] is None
        for part in ("within", "correlation", "corpus", "definition"):
            assert two[part] == one[part]
        for key, value in first["results"][recorded(name)].items():
            if "across" not in key:
                assert second["results"][recorded(name)][key] == value
    # Ours cut windows at 512 tokens. A stock run that shares the cache has windows of the model's 2,048.
    assert (
        stock["results"]["stock_rolling"]["bits_per_byte,none"]
        != first["results"]["recorded_rolling"]["bits_per_byte,none"]
    )
    assert json.dumps(stock["results"]["stock_letters"]["acc,none"]) == json.dumps(
        first["results"]["recorded_letters"]["acc,none"]
    )


def test_no_vector_is_in_the_database(run: Run, tmp_path: Path) -> None:
    from sqlitedict import SqliteDict

    run([recorded(name) for name in NAMES])
    sizes = []
    with SqliteDict(str(tmp_path / "answers_rank0.db")) as database:
        for value in database.values():
            if isinstance(value, dict) and value.get("segments"):
                sizes += [len(s["dispersion"]) for s in value["segments"] if s["dispersion"] is not None]
    assert sizes and set(sizes) == {3}  # one number a layer of the tiny model


def test_one_database_for_two_models_gives_each_its_own_numbers(run: Run, tiny_llama: Path, tmp_path: Path) -> None:
    from lm_eval import simple_evaluate
    from models import save_tiny_llama

    other = save_tiny_llama(tmp_path / "other", initializer_range=0.11)
    manager = task_manager(write_tasks(tmp_path / "more", {name: EVERY[name] for name in NAMES}))

    def evaluate(folder: Path, **cache: str) -> dict[str, Any]:
        arguments = {"pretrained": str(folder), "dtype": "float32"}
        ours = [recorded(name) for name in NAMES]
        options = {"limit": 5, "batch_size": 2, "task_manager": manager, **cache}
        return dict(simple_evaluate(model="hf", device="cpu", model_args=arguments, tasks=ours, **options))

    first = run([recorded(name) for name in NAMES])
    second, alone = evaluate(other, use_cache=str(tmp_path / "answers")), evaluate(other)
    again = run([recorded(name) for name in NAMES])
    for name in map(recorded, NAMES):
        counts = second["configs"][name]["metadata"]["dispersion"]["counts"]
        assert counts["cached_answers"] == 0 and second["results"][name] == alone["results"][name]
        assert second["results"][name] != first["results"][name]
        # Both are kept, and a copy of the model elsewhere is the same model.
        assert again["configs"][name]["metadata"]["dispersion"]["counts"]["cached_answers"] == 5


def test_an_answer_of_other_layers_or_windows_is_no_answer(tiny_llama: Path, tmp_path: Path) -> None:
    from lm_eval import simple_evaluate

    from lm_eval_dispersion._discovery import tasks_folder

    (tmp_path / "a.txt").write_text("The printer on the third floor does not print. " * 60)

    def record(**options: Any) -> dict[str, Any]:
        metadata = {"dispersion": {"text": str(tmp_path / "a.txt"), **options}}
        manager = task_manager(Path(tasks_folder()), metadata=metadata)
        asked = {"tasks": ["dispersion_text"], "task_manager": manager, "use_cache": str(tmp_path / "answers")}
        arguments = {"pretrained": str(tiny_llama), "dtype": "float32"}
        found = simple_evaluate(model="hf", device="cpu", model_args=arguments, **asked)
        return dict(found["configs"]["dispersion_text"]["metadata"]["dispersion"])

    for options in ({}, {"layers": "last"}, {"window": 200}, {"window": 200, "min_vectors": 32}):
        fresh, cached = record(**options), record(**options)
        assert (fresh["counts"]["cached_answers"], cached["counts"]["cached_answers"]) == (0, 1)
        assert cached["layers"] == fresh["layers"] and cached["within"] == fresh["within"]
        assert len(cached["layers"]) == len(cached["within"]["mean"])


def test_cached_requests_are_not_another_texts(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.caching import cache

    from lm_eval_dispersion._discovery import tasks_folder

    monkeypatch.setattr(cache, "PATH", str(tmp_path / "requests"))

    def hash_of(text: str) -> str:
        (tmp_path / f"{text}.txt").write_text(f"{text} " * 40)
        metadata = {"dispersion": {"text": str(tmp_path / f"{text}.txt")}}
        asked = {"tasks": ["dispersion_text"], "task_manager": task_manager(Path(tasks_folder()), metadata=metadata)}
        arguments = {"pretrained": str(tiny_llama), "dtype": "float32"}
        found = simple_evaluate(model="hf", device="cpu", model_args=arguments, cache_requests=True, **asked)
        return str(found["configs"]["dispersion_text"]["metadata"]["dispersion"]["corpus"]["hash"])

    assert hash_of("river") != hash_of("stone")
