"""Which rows there are, what they are called, where their pages lie, and who is ranked."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from dispersion_leaderboard.board import rank
from dispersion_leaderboard.board._board import _path
from made import board_of, made


@pytest.mark.parametrize(
    "revisions",
    [("step1000", "step10000", "step100000"), ("main", "4d5e6f7a" * 5), ("4d5e6f7a" * 5, "4d5e6f7b" * 5)],
)
def test_revisions_of_a_model_have_titles_of_their_own(tmp_path: Path, revisions: tuple[str, ...]) -> None:
    runs = [made("org/a", i, model_revision=revision, model_sha="") for i, revision in enumerate(revisions)]
    titles = set(board_of(tmp_path, *runs).entries["title"])
    assert len(titles) == len(revisions)
    assert titles == {f"org/a (revision {r if len(r) < 40 else r[:8]})" for r in revisions}


def test_every_part_of_a_configuration_can_tell_two_rows_apart(tmp_path: Path) -> None:
    plain, others = made("org/a"), []
    for i in range(6):
        other = made("org/a", i + 1)
        if i == 0:
            other["chat_template"] = "{{ messages }}"
        elif i == 1:
            other["system_instruction"] = "Think."
        elif i == 2:
            other["config"]["model_args"]["peft"] = "org/adapter"
        elif i == 3:
            other["config"]["model_args"]["load_in_4bit"] = True
        elif i == 4:
            other["config"]["model"] = "vllm"
        else:
            other["config"]["model_args"]["gguf_file"] = "a.Q4_K_M.gguf"
        others.append(other)
    entries = board_of(tmp_path, plain, *others).entries
    assert len(entries) == 7 and entries["title"].nunique() == entries["path"].nunique() == 7
    assert all(title.startswith(("org/a (", "a (")) or title == "a" for title in entries["title"])


def test_paths_stay_in_the_folder_and_no_folder_grows_large() -> None:
    hostile = ["../../x", "/etc/passwd", "", "模型", "\u202e", "CON", "a" * 300, "a\x00b", "C:\\x", "~/.ssh", "%2e%2e"]
    places = Counter()
    seen = set()
    for i in range(60_000):
        entry = sha256(str(i).encode()).hexdigest()
        path = PurePosixPath(_path(hostile[i % len(hostile)], entry))
        assert path.parts[0] == "models" and len(path.parts) == 3 and ".." not in path.parts
        assert path.name.isascii() and len(path.name) <= 80 and not path.name.startswith((".", "-"))
        places[path.parent] += 1
        seen.add(path)
    assert len(places) <= 256 and max(places.values()) < 10_000
    assert len(seen) == 60_000


def test_equal_scores_share_everything_and_certain_ones_are_told_apart() -> None:
    same = rank(np.full((5, 2), 0.6), np.full((5, 2), 0.01), np.array([0.25, 0.5]))
    assert set(same.best) == {1} and set(same.worst) == {5} and set(same.group) == {1}
    sure = rank(np.array([[0.3], [0.9], [0.5]]), np.zeros((3, 1)), np.array([0.0]))
    assert sure.best.tolist() == sure.worst.tolist() == sure.group.tolist() == [3, 1, 2]
    nobody = rank(np.array([[np.nan, 0.5], [0.5, np.nan]]), np.full((2, 2), 0.1), np.zeros(2))
    assert not nobody.best.any() and np.isnan(nobody.score).all()
    assert not rank(np.empty((3, 0)), np.empty((3, 0)), np.empty(0)).group.any()


def test_ranked_models_come_first_by_score_and_the_rest_by_name(tmp_path: Path) -> None:
    runs = [made(f"org/m{i}", i) for i in range(8)]
    for i in (1, 5):
        for part in ("results", "configs"):
            del runs[i][part]["dispersion_boolq"]
    found = board_of(tmp_path, *runs)

    def score(run: dict) -> float:
        return float(np.mean([2 * run["results"][f"dispersion_{t}"]["acc,none"] - 1 for t in ("piqa", "boolq")]))

    whole = sorted((r for i, r in enumerate(runs) if i not in (1, 5)), key=score, reverse=True)
    assert found.entries["model"].tolist() == [r["model_name"] for r in whole] + ["org/m1", "org/m5"]
    assert found.ranks.score[:6] == pytest.approx([score(r) for r in whole])
    assert found.ranks.best[6:].tolist() == [0, 0]


def test_a_benchmark_that_few_have_does_not_unrank_the_others(tmp_path: Path) -> None:
    runs = [made(f"org/m{i}", i) for i in range(5)]
    for run in runs[:3]:
        for part in ("results", "configs"):
            del run[part]["dispersion_boolq"]
    found = board_of(tmp_path, *runs)
    assert [found.columns[i].name for i in found.ranked] == ["piqa"]
    assert (found.ranks.best > 0).all()
