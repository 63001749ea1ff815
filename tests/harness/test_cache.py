"""``--use_cache``: our answers carry D, stock runs never read them, and a cached answer is seen as such."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import CliHere, results
from stock import EVERY, recorded, write_tasks

NAMES = ("stock_rolling", "stock_letters", "stock_generate")


@pytest.fixture(scope="module")
def run(cli_here: CliHere, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("cache")
    tasks = write_tasks(folder / "tasks", {name: EVERY[name] for name in NAMES})

    def evaluate(name: str, wanted: list[str]) -> dict[str, Any]:
        cli_here(
            *("--model", "hf", "--device", "cpu", "--model_args", f"pretrained={tiny_llama},dtype=float32"),
            *("--tasks", ",".join(wanted), "--include_path", str(tasks), "--limit", "5", "--batch_size", "2"),
            *("--output_path", str(folder / name), "--use_cache", str(folder / "answers")),
        )
        return results(folder / name)

    return evaluate


def test_a_second_run_has_the_same_numbers_from_the_cache_and_stock_ones_are_not_mixed_in(run: Any) -> None:
    ours = [recorded(name) for name in NAMES]
    first, second, stock = run("first", ours), run("second", ours), run("stock", list(NAMES))
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


def test_no_vector_is_in_the_database(run: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    from sqlitedict import SqliteDict

    run("again", [recorded(name) for name in NAMES])
    database = next(tmp_path_factory.getbasetemp().glob("cache*/answers_rank0.db"))
    sizes = []
    with SqliteDict(str(database)) as answers:
        for value in answers.values():
            if isinstance(value, dict) and value.get("segments"):
                sizes += [len(s["dispersion"]) for s in value["segments"] if s["dispersion"] is not None]
    assert sizes and set(sizes) == {3}  # one number a layer of the tiny model
