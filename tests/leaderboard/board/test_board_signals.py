"""What stands beside D as a signal of a benchmark: confidence in the same answers, corpora, the checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from confidences import atc
from dispersion_leaderboard.board import Board, domain_observations, labelled, lay_out, observations
from dispersion_leaderboard.records import read_conventions
from made import board_of, made, records_of, save, screened, with_signals

PIQA, BOOLQ = "dispersion_piqa", "dispersion_boolq"


def drawn(number: int, task: str, documents: int = 400) -> np.ndarray:
    """A model's confidence in each answer."""
    rng = np.random.default_rng((number, len(task)))
    return np.asarray(rng.beta(*rng.uniform(2, 6, 2), documents))


def told(number: int, name: str = "") -> dict:
    run = made(name or f"org/m{number}", number)
    for task in (PIQA, BOOLQ):
        with_signals(run, task, confidence=drawn(number, task), confidence_by_length=drawn(number + 100, task))
    return run


def of(board: Board, task: str = "piqa", source: int | None = None) -> dict:
    return next(o for o in observations(board, source) if o.task == task).signals


def by_number(board: Board, values: np.ndarray) -> dict[int, float]:
    return {int(name[5:]): float(v) for name, v in zip(board.entries["model"], values, strict=True)}


def test_a_benchmark_has_the_confidence_of_its_own_answers_and_no_other(tmp_path: Path) -> None:
    board = board_of(tmp_path, *(told(i) for i in range(4)))
    for task, base in ((PIQA, "piqa"), (BOOLQ, "boolq")):
        signal = of(board, base)["AC (mean confidence)"]
        expected = {i: drawn(i, task).mean() for i in range(4)}
        assert by_number(board, signal.values) == pytest.approx(expected) and signal.kind == "confidence"
        assert by_number(board, of(board, base)["AC, no fit"].values) == pytest.approx(expected)
    # None is an accuracy, and none is a benchmark of its own.
    assert {o.task for o in observations(board)} == {"piqa", "boolq"}


@pytest.mark.parametrize("what", ["shots", "version", "limit"])
def test_confidence_in_other_questions_stands_apart(tmp_path: Path, what: str) -> None:
    other = told(1)
    if what == "shots":
        other["n-shot"][PIQA] = 5
    elif what == "version":
        other["versions"][PIQA] = 2.0
    else:
        other["config"]["limit"] = 10
        other["n-samples"][PIQA]["effective"] = 10
    board = board_of(tmp_path, told(0), other)
    sets = [o for o in observations(board) if o.task.startswith("piqa")]
    assert len(sets) == 2
    for one in sets:
        known = np.isfinite(one.accuracy)
        assert known.sum() == 1
        assert (np.isfinite(one.signals["AC (mean confidence)"].values) == known).all()


def test_acc_norm_asks_for_the_confidence_by_length(tmp_path: Path) -> None:
    run = told(0)
    run["results"][PIQA] |= {"acc_norm,none": 0.6, "acc_norm_stderr,none": 0.01}
    board = board_of(tmp_path, run)
    assert by_number(board, of(board)["AC, no fit"].values) == {0: pytest.approx(drawn(100, PIQA).mean())}


def test_signals_of_texts_are_a_benchmarks_own_or_shared_as_their_text_is(tmp_path: Path) -> None:
    run = told(0)
    with_signals(run, PIQA, prompt_loglikelihood=[-3.0, -2.0])
    with_signals(run, "dispersion_wiki", effective_rank=[9.0, 11.0])
    board = board_of(tmp_path, run)
    assert of(board)["log-likelihood of prompts"].values.tolist() == [-2.5]
    assert "log-likelihood of prompts" not in of(board, "boolq")
    assert of(board)["effective rank, wiki"].values.tolist() == [10.0]
    assert of(board, "boolq")["effective rank, wiki"].kind == "geometry"


def test_another_layer_is_another_signal(tmp_path: Path) -> None:
    runs = [told(i) for i in range(2)]
    for run, layer in zip(runs, (None, 3), strict=True):
        record = with_signals(run, PIQA, rankme=[4.0, 4.0])["configs"][PIQA]["metadata"]["dispersion"]
        last = record["model"]["layers"]
        record["signals"]["rankme"] |= {"layers": [layer or last], "mean": [4.0], "stderr": [0.1]}
    found = {label: s.values for label, s in of(board_of(tmp_path, *runs)).items() if label.startswith("RankMe")}
    assert len(found) == 2 and all(np.isfinite(values).sum() == 1 for values in found.values())
    assert sum("h[3]" in label for label in found) == 1


def test_doc_and_atc_are_those_of_the_raw_confidences(tmp_path: Path) -> None:
    runs = [told(i) for i in range(5)]
    board = board_of(tmp_path, *runs)
    signals = of(board, "piqa", labelled(board, "boolq"))
    for i, run in enumerate(runs):
        source, target = drawn(i, BOOLQ), drawn(i, PIQA)
        accuracy = run["results"][BOOLQ]["acc,none"]
        doc = min(max(accuracy - (source.mean() - target.mean()), 0), 1)
        assert by_number(board, signals["DoC from boolq, no fit"].values)[i] == pytest.approx(doc)
        found = by_number(board, signals["ATC from boolq, no fit"].values)[i]
        assert found == pytest.approx(atc(accuracy, source, target), abs=0.015)
    # A source does not predict itself, and without one there is neither.
    assert not [label for label in of(board, "boolq", labelled(board, "boolq")) if "from" in label]
    assert not [label for label in of(board) if "from" in label]


def test_a_source_that_is_none_is_one_line(tmp_path: Path) -> None:
    board = board_of(tmp_path, made("org/m0"))
    with pytest.raises(SystemExit, match=r"^leaderboard: no benchmark bolq in the results; did you mean boolq\?$"):
        labelled(board, "bolq")
    with pytest.raises(SystemExit, match=r"^leaderboard: no confidence was recorded on boolq; .*$"):
        observations(board, labelled(board, "boolq"))
    other = made("org/m1", 1)
    other["n-shot"][BOOLQ] = 5
    two = board_of(tmp_path, made("org/m0"), other)
    with pytest.raises(SystemExit, match=r"may be any of: .*; name one of these$"):
        labelled(two, "dispersion_boolq")
    assert two.columns[labelled(two, "boolq (5-shot)")].n_shot == 5


def test_g_is_a_signal_of_the_model_on_every_benchmark_and_never_one_itself(tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text("tasks: {screen_code: {metric: gap}}")
    for i in range(3):
        save(tmp_path / "runs", f"m{i}", made(f"org/m{i}", i))
    for i in range(2):
        run = screened(f"org/m{i}", i, code=0.2 + i / 10, digits=0.5)
        run["results"]["screen_code"] |= {"acc,none": 0.9, "bits_per_byte,none": 1.0, "dispersion,none": 0.3}
        save(tmp_path / "runs", f"s{i}", run)
    conventions = read_conventions(tmp_path / "o.yaml")
    board = lay_out(records_of(tmp_path / "runs"), conventions)
    assert {o.task for o in observations(board)} == {"piqa", "boolq"}
    assert {c.name for c in board.columns if c.kind in ("dispersion", "perplexity", "prompts")} >= {"wiki"}
    assert not [c for c in board.columns if "code" in c.name and c.kind != "gap"]
    for task in ("piqa", "boolq"):
        values = by_number(board, of(board, task)["G code"].values)
        assert values == pytest.approx({0: 0.2, 1: 0.3, 2: np.nan}, nan_ok=True)
        assert of(board, task)["G digits"].kind == "gap"


def test_domains_know_the_confidence_in_their_answers(tmp_path: Path) -> None:
    board = board_of(tmp_path, *(told(i) for i in range(2)), made("org/m2", 2))
    found = domain_observations(board)
    assert found.confidence is not None and found.confidence.shape == found.accuracy.shape
    for j, task in ((found.domains.index("piqa"), PIQA), (found.domains.index("boolq"), BOOLQ)):
        expected = {0: drawn(0, task).mean(), 1: drawn(1, task).mean(), 2: np.nan}
        assert by_number(board, found.confidence[:, j]) == pytest.approx(expected, nan_ok=True)
