"""What a record says beside D, without labels, is in the table; what is no number there is left alone."""

from __future__ import annotations

import copy
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dispersion_leaderboard.records import SIGNALS
from runs import RECORD, Run, new_run, one, read, write
from test_records_bad_files import WRONG, places, replaced

CONFIDENCES = [0.3, 0.9, 0.5, 0.6, 0.8, 0.7]
QUANTILES = np.percentile(CONFIDENCES, range(101)).tolist()


def told(mean: Any, stderr: Any = 0.01, layers: Any = None, **more: Any) -> Run:
    return {"layers": layers, "mean": mean, "stderr": stderr, "n": 6, **more}


def with_record(signals: Any, layers: int | None = 2) -> Run:
    run = new_run()
    record = run["configs"]["capitals"]["metadata"]["dispersion"]
    record["signals"] = signals
    record["model"]["layers"] = layers
    return run


def signals_of(tmp_path: Path, run: Run) -> pd.DataFrame:
    found = read(write(tmp_path, "a", run).parent)
    assert not found.skipped
    return found.table[found.table["signal"]]


def test_each_is_a_row_with_its_error_and_a_confidence_has_its_quantiles(tmp_path: Path) -> None:
    signals = {name: told(0.5 + i / 100, i / 1000) for i, name in enumerate(SIGNALS)}
    signals["confidence"]["quantiles"] = QUANTILES
    run = with_record(signals | {"unheard_of": told(0.1)})
    run["results"]["capitals"]["confidence,none"] = 0.123
    table = signals_of(tmp_path, run)
    assert sorted(table["metric"]) == sorted(SIGNALS) and set(table["task"]) == {"capitals"}
    for name in SIGNALS:
        row = one(table, metric=name)
        assert (row["value"], row["stderr"]) == (signals[name]["mean"], signals[name]["stderr"])
        assert row["how"] == "definition 1: mean over documents" and row["definition"] == "1"
    held = one(table, metric="confidence")["quantiles"]
    assert list(held) == pytest.approx(QUANTILES, abs=1e-7)
    assert table["quantiles"][table["metric"] != "confidence"].isna().all()


def test_an_older_record_has_none(tmp_path: Path) -> None:
    assert signals_of(tmp_path, new_run()).empty


def test_by_layer_the_last_one_counts_and_another_than_the_last_state_is_named(tmp_path: Path) -> None:
    signals = {
        "effective_rank": told([9.0, 5.0], [0.1, 0.2], [0, 2]),
        "rankme": told([9.0, 5.0], [0.1, 0.2], [0, 1]),
        "mean_unit_norm": told([0.4], [None], [2]),
    }
    table = signals_of(tmp_path, with_record(signals))
    last, middle, alone = (one(table, metric=name) for name in signals)
    assert (last["value"], last["stderr"], last["definition"]) == (5.0, 0.2, "1")
    assert (middle["value"], middle["definition"]) == (5.0, "1, h[1]") and middle["how"].endswith(", h[1]")
    assert alone["value"] == 0.4 and np.isnan(alone["stderr"])
    # Who does not say how many layers there are is believed.
    assert set(signals_of(tmp_path, with_record(signals, None))["definition"]) == {"1"}


@pytest.mark.parametrize(
    "signals",
    [
        {"confidence": told(1.2)},
        {"margin": told(-0.1)},
        {"confidence": told([0.5])},
        {"effective_rank": told(3.0, 0.1, [2])},
        {"effective_rank": told([3.0, 4.0], [0.1, 0.1], [2])},
        {"entropy": told(float("nan"))},
        {"entropy": told(True)},
        {"entropy": told("0.5")},
        [told(0.5)],
        "confidence",
    ],
)
def test_what_is_no_such_number_is_not_there(tmp_path: Path, signals: Any) -> None:
    assert signals_of(tmp_path, with_record(signals)).empty


@pytest.mark.parametrize(
    "quantiles",
    [
        None,
        [],
        QUANTILES[:100],
        [*QUANTILES[:100], None],
        QUANTILES[::-1],
        [2 * q for q in QUANTILES],
        [*QUANTILES[:99], float("nan"), 10**400],
        {"0": 0.3},
    ],
)
def test_quantiles_that_are_none_leave_the_mean(tmp_path: Path, quantiles: Any) -> None:
    table = signals_of(tmp_path, with_record({"confidence": told(0.6, quantiles=quantiles)}))
    assert one(table, metric="confidence")["value"] == 0.6 and table["quantiles"].isna().all()


def test_any_wrong_value_in_any_place_costs_no_other_number(tmp_path: Path) -> None:
    signals = {
        "confidence": told(0.6, quantiles=QUANTILES[:3]),
        "effective_rank": told([9.0, 5.0], [0.1, 0.2], [0, 2]),
    }
    count = 0
    for path in places(signals, 3):
        for wrong in WRONG:
            run = with_record(replaced(signals, path, wrong))
            run["config"]["model_args"] = f"pretrained=org/m{count}"
            write(tmp_path, f"{count:04}", run)
            count += 1
    found = read(tmp_path)
    assert not found.skipped and found.table["model"].nunique() == count > 100
    assert np.isfinite(found.table["value"]).all()
    assert (found.table[found.table["metric"] == "dispersion"]["value"] == 0.7).all()


def test_a_groups_confidence_is_the_mean_over_the_documents_of_its_tasks(tmp_path: Path) -> None:
    drawn = {"capitals": np.array(CONFIDENCES), "rivers": np.array([0.2, 0.4, 0.9, 1.0])}
    run = new_run()
    for task, values in drawn.items():
        record = run["configs"][task].setdefault("metadata", {}).setdefault("dispersion", copy.deepcopy(RECORD))
        error = float(values.std(ddof=1) / len(values) ** 0.5)
        record["signals"] = {"confidence": told(float(values.mean()), error) | {"n": len(values)}}
    row = one(signals_of(tmp_path, run), task="places")
    assert row["value"] == pytest.approx(np.concatenate([*drawn.values()]).mean()) and row["group"]
    # Of a mean over two strata of fixed sizes.
    parts = [(len(v) / 10) ** 2 * v.var(ddof=1) / len(v) for v in drawn.values()]
    assert row["stderr"] == pytest.approx(np.sqrt(sum(parts)))
    del run["configs"]["rivers"]["metadata"]["dispersion"]["signals"]
    assert "places" not in set(signals_of(tmp_path, run)["task"])


@pytest.mark.parametrize("layers", ["last", "all", [0, 2], "many", [True], None])
def test_signals_that_were_asked_for_are_in_the_command_that_runs_it_again(tmp_path: Path, layers: Any) -> None:
    run = with_record({})
    definition = run["configs"]["capitals"]["metadata"]["dispersion"]["definition"]
    definition |= {"signals": "all", "signal_layers": layers}
    (command,) = read(write(tmp_path, "a", run).parent).table["command"].unique()
    asked = {"signals": "all"} | ({"signal_layers": layers} if layers in ("all", [0, 2]) else {})
    told = json.loads(shlex.split(command)[-1])["dispersion"]
    assert {name: value for name, value in told.items() if name.startswith("signal")} == asked
    assert ("signal_layers" in command) == ("signal_layers" in asked)
