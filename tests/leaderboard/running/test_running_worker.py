"""What a worker promises, on a folder and on the Hub alike: each request has one worker, ends once, loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from dispersion_leaderboard.requests import ATTEMPTS, Change, Entry, Queue, Reason, Request, State, cancel, requeue
from dispersion_leaderboard.running import Policy, Unit, Worker
from dispersion_leaderboard.store import Results, Tree, open_tree
from hub import Hub
from hub_fixtures import loopback
from queue_made import SUITE, Hanging, Instant, Stores, failing, fill, opened, request, results_of, worker


@pytest.fixture(params=["folder", "hub"])
def stores(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    monkeypatch.setattr("dispersion_leaderboard.running._worker._LEAST", 0.0)
    monkeypatch.setattr("dispersion_leaderboard.running._worker._TICK", 0.01)
    with opened(request.param, tmp_path, monkeypatch) as found:
        yield found


def states(stores: Stores) -> dict[str, State]:
    return {key: entry.state for key, entry in Queue(stores("queue")).entries().items()}


def stored(stores: Stores, keys: list[str]) -> set[tuple[str, str]]:
    return Results(stores("results")).saved({(key, group) for key in keys for group in ("task_a", "task_b")})


def until(condition: object, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def test_every_request_is_run_once_oldest_first_and_its_results_are_stored(stores: Stores) -> None:
    keys = fill(Queue(stores("queue")), 12)
    executor = Instant()
    worker(stores, executor).run(forever=False)
    assert states(stores) == dict.fromkeys(keys, State.FINISHED)
    assert len(stored(stores, keys)) == 24
    ran = [(unit.request.key, unit.group) for unit in executor.started]
    assert len(ran) == len(set(ran)) == 24
    assert ran[0] == (keys[0], "task_a")
    assert sorted(executor.forgotten) == sorted(keys)
    assert Queue(stores("queue")).logs(keys[:1]) == {keys[0]: "log of org/model-0"}


def test_two_workers_never_run_the_same(stores: Stores) -> None:
    keys = fill(Queue(stores("queue")), 16)
    executors = [Instant(), Instant()]
    threads = [
        threading.Thread(target=worker(stores, executor, name).run, kwargs={"forever": False})
        for executor, name in zip(executors, ("one", "two"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert states(stores) == dict.fromkeys(keys, State.FINISHED)
    ran = [(unit.request.key, unit.group) for executor in executors for unit in executor.started]
    assert len(ran) == len(set(ran)) == 32


def test_a_failure_of_the_model_is_final_and_says_why_with_its_log(stores: Stores) -> None:
    (key,) = fill(Queue(stores("queue")), 1)
    executor = Instant(fails=lambda unit: failing(Reason.OOM)(unit) if unit.group == "task_b" else None)
    worker(stores, executor).run(forever=False)
    entry = Queue(stores("queue")).entries()[key]
    assert (entry.state, entry.reason, entry.detail, entry.attempts) == (State.FAILED, Reason.OOM, "task_b broke", 1)
    assert Queue(stores("queue")).logs([key]) == {key: "the last line"}
    assert stored(stores, [key]) == {(key, "task_a")}


def test_a_failure_of_the_infrastructure_is_tried_again_so_often_and_no_more(stores: Stores) -> None:
    (key,) = fill(Queue(stores("queue")), 1)
    executor = Instant(fails=failing(Reason.INFRASTRUCTURE))
    worker(stores, executor).run(forever=False)
    entry = Queue(stores("queue")).entries()[key]
    assert (entry.state, entry.reason, entry.attempts) == (State.FAILED, Reason.INFRASTRUCTURE, ATTEMPTS)
    assert len(executor.started) == ATTEMPTS


def test_a_group_whose_results_are_stored_is_not_run_again(stores: Stores) -> None:
    """As after a worker that was killed between storing results and saying so."""
    keys = fill(Queue(stores("queue")), 2)
    requests = [request(number) for number in range(2)]
    results = Results(stores("results"))
    results.save({(keys[0], group[0]): results_of(Unit(requests[0], group)) for group in SUITE.groups})
    results.save({(keys[1], "task_a"): results_of(Unit(requests[1], ("task_a",)))})
    executor = Instant()
    worker(stores, executor).run(forever=False)
    assert [(unit.request.key, unit.group) for unit in executor.started] == [(keys[1], "task_b")]
    assert states(stores) == dict.fromkeys(keys, State.FINISHED)


def test_results_are_stored_once_whoever_has_them(stores: Stores) -> None:
    (key,) = fill(Queue(stores("queue")), 1)
    one, other = Results(stores("results")), Results(stores("results"))
    one.save({(key, "task_a"): {"m/results_1.json": b"first"}})
    other.save({(key, "task_a"): {"m/results_2.json": b"second"}, (key, "task_b"): {"m/results_3.json": b"third"}})
    tree = stores("results")
    assert list(tree.files(f"{key[:2]}/{key}/task_a/m", tree.head())) == [f"{key[:2]}/{key}/task_a/m/results_1.json"]
    assert stored(stores, [key]) == {(key, "task_a"), (key, "task_b")}


def lost_worker(stores: Stores, name: str, **policy: float) -> None:
    """One that claims, and of which nothing is heard any more."""
    gone = worker(stores, Hanging(), name, **policy)
    assert gone._look()


def test_what_a_lost_worker_held_is_anyones_when_its_lease_has_ended_and_not_before(stores: Stores) -> None:
    (key,) = fill(Queue(stores("queue")), 1)
    lost_worker(stores, "gone", lease=3600)
    executor = Instant()
    worker(stores, executor, "other").run(forever=False)
    assert executor.started == [] and states(stores) == {key: State.RUNNING}
    tomorrow = datetime.now(timezone.utc) + timedelta(hours=2)
    queue, results = Queue(stores("queue")), Results(stores("results"))
    Worker(queue, results, executor, {SUITE.name: SUITE}, Policy("other"), now=lambda: tomorrow).run(forever=False)
    assert states(stores) == {key: State.FINISHED}
    assert Queue(stores("queue")).entries()[key].attempts == 2


def test_a_worker_that_is_started_again_goes_on_with_its_own_at_once(stores: Stores) -> None:
    (key,) = fill(Queue(stores("queue")), 1)
    lost_worker(stores, "same", lease=3600)
    worker(stores, Instant(), "same").run(forever=False)
    assert states(stores) == {key: State.FINISHED}


def test_a_request_that_kills_every_worker_ends(stores: Stores) -> None:
    (key,) = fill(Queue(stores("queue")), 1)
    for _ in range(ATTEMPTS):
        lost_worker(stores, "same")
    executor = Instant()
    worker(stores, executor, "same").run(forever=False)
    entry = Queue(stores("queue")).entries()[key]
    assert (entry.state, entry.reason, executor.started) == (State.FAILED, Reason.INFRASTRUCTURE, [])
    assert requeue(Queue(stores("queue")), [key]) == [f"{key[:12]} org/model-0: pending"]
    worker(stores, executor).run(forever=False)
    assert states(stores) == {key: State.FINISHED}


def test_a_worker_that_is_asked_to_stop_gives_back_what_it_has_not_finished(stores: Stores) -> None:
    (key,) = fill(Queue(stores("queue")), 1)
    executor = Hanging()
    one = worker(stores, executor)
    thread = threading.Thread(target=one.run, kwargs={"forever": True})
    thread.start()
    until(lambda: executor.started)
    one.stop()
    thread.join(120)
    entry = Queue(stores("queue")).entries()[key]
    assert (entry.state, entry.attempts, entry.worker) == (State.PENDING, 0, "")


def test_a_request_that_is_cancelled_while_it_runs_is_stopped(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispersion_leaderboard.running._worker._IDLE", 0.1)
    (key,) = fill(Queue(stores("queue")), 1)
    executor = Hanging()
    one = worker(stores, executor)
    thread = threading.Thread(target=one.run, kwargs={"forever": True})
    thread.start()
    until(lambda: executor.started)
    assert cancel(Queue(stores("queue")), ["org/model-0"]) == [f"{key[:12]} org/model-0: cancelled"]
    until(lambda: executor.stopped)
    one.stop()
    thread.join(120)
    assert states(stores) == {key: State.CANCELLED}
    assert "cancelled; it has ended" in cancel(Queue(stores("queue")), [key])[0]


def test_a_claim_is_renewed_while_it_is_worked_on(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispersion_leaderboard.running._worker._IDLE", 0.1)
    (key,) = fill(Queue(stores("queue")), 1)
    clock = [datetime.now(timezone.utc)]
    queue, results = Queue(stores("queue")), Results(stores("results"))
    executor = Hanging()
    one = Worker(queue, results, executor, {SUITE.name: SUITE}, Policy("one", lease=3600), now=lambda: clock[0])
    thread = threading.Thread(target=one.run, kwargs={"forever": True})
    thread.start()
    until(lambda: executor.started)
    first = Queue(stores("queue")).entries()[key].expires
    clock[0] += timedelta(minutes=40)
    until(lambda: Queue(stores("queue")).entries()[key].expires > first)
    one.stop()
    thread.join(120)


def test_a_request_of_a_suite_that_this_worker_does_not_know_is_left_for_others(stores: Stores) -> None:
    (key,) = fill(Queue(stores("queue")), 1)
    executor = Instant()
    queue, results = Queue(stores("queue")), Results(stores("results"))
    Worker(queue, results, executor, {}, Policy("one")).run(forever=False)
    assert (states(stores), executor.started) == ({key: State.PENDING}, [])


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"model": "../../etc", "revision": "x", "suite": "made"}'])
def test_a_request_that_is_none_is_rejected_and_the_others_go_on(stores: Stores, content: bytes) -> None:
    keys = fill(Queue(stores("queue")), 2)
    tree = stores("queue")
    tree.commit({f"requests/{keys[0][:2]}/{keys[0]}.json": content}, tree.head(), "hostile")
    executor = Instant()
    worker(stores, executor).run(forever=False)
    assert states(stores) == {keys[0]: State.REJECTED, keys[1]: State.FINISHED}
    assert {unit.request.key for unit in executor.started} == {keys[1]}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("dispersion_leaderboard.running._worker._LEAST", 0.0)
    monkeypatch.setattr("dispersion_leaderboard.running._worker._TICK", 0.01)
    with loopback(monkeypatch) as found:
        yield found


def on_hub(name: str) -> Tree:
    return open_tree(f"hf://datasets/org/{name}", commits_per_hour=1e9)


def test_a_request_on_the_hub_cannot_name_a_folder_of_the_workers_machine(hub: Hub) -> None:
    hostile = Request("etc", "0" * 64, SUITE.id, folder="/etc")
    entry = Entry.new(hostile, "2026-01-01T00:00:00Z")
    Queue(on_hub("queue")).change(lambda _: Change("hostile", {hostile.key: entry}, {hostile.key: hostile}))
    executor = Instant()
    worker(on_hub, executor).run(forever=False)
    assert (states(on_hub), executor.started) == ({hostile.key: State.REJECTED}, [])


@pytest.mark.parametrize("status", [409, 412, 500, 0])
@pytest.mark.parametrize("landed", [False, True])
def test_a_claim_whose_answer_got_lost_is_neither_lost_nor_made_twice(hub: Hub, status: int, landed: bool) -> None:
    keys = fill(Queue(on_hub("queue")), 1)
    executor = Instant()
    hub.fail("commit", status, landed=landed)
    worker(on_hub, executor).run(forever=False)
    entry = Queue(on_hub("queue")).entries()[keys[0]]
    assert (entry.state, entry.attempts, len(executor.started)) == (State.FINISHED, 1, 2)


def test_many_that_end_together_take_few_commits(hub: Hub) -> None:
    keys = fill(Queue(on_hub("queue")), 200)
    before = len(hub.repositories["org/queue"].commits)
    worker(on_hub, Instant(slots=8)).run(forever=False)
    assert set(states(on_hub).values()) == {State.FINISHED}
    commits = len(hub.repositories["org/queue"].commits) - before
    # One a file of states and twice as many requests each time, not two for each of 200 requests.
    assert commits < 60
    assert len(keys) == 200
