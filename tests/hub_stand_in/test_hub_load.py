"""The stand-in of the Hub under load: many files, many commits, many clients, and faults at a rate."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from hub import Hub
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

DATA = "org/queue"


@pytest.fixture
def api(api: HfApi) -> HfApi:
    api.create_repo(DATA, repo_type="dataset")
    return api


def commit(api: HfApi, path: str, content: bytes, parent: str | None = None) -> Any:
    add = [CommitOperationAdd(path, content)]
    return api.create_commit(DATA, add, commit_message="x", repo_type="dataset", parent_commit=parent)


def status(error: HfHubHTTPError) -> int:
    return int(error.response.status_code)


def test_a_repository_of_many_files_and_commits_stays_quick_and_each_commit_keeps_its_tree(hub: Hub) -> None:
    files = {f"requests/{number % 256:02x}/{number:08d}.json": b"%d" % number for number in range(30_000)}
    repository = hub.add(DATA, files)
    # Of this process, in which the stand-in is, too: what a busy neighbour takes does not count.
    began = time.process_time()
    for number in range(2_000):
        repository.change("x", {f"states/{number % 16:x}.json": b"%d" % number})
    assert time.process_time() - began < 10
    assert len(repository.head.files) == 30_016
    assert len(repository.commits[0].files) == 30_000
    assert repository.commits[18].files["states/1.json"].content == b"17"
    api, began = HfApi(endpoint=hub.url), time.process_time()
    assert len(list(api.list_repo_tree(DATA, "requests/07", repo_type="dataset"))) == 118
    assert len(api.get_paths_info(DATA, list(files)[:200], repo_type="dataset")) == 200
    assert api.dataset_info(DATA, expand=["sha"]).sha == repository.head.oid
    assert time.process_time() - began < 2
    everything = list(api.list_repo_tree(DATA, repo_type="dataset", recursive=True))
    assert len(everything) == 30_016 + 256 + 2


def test_many_clients_at_once_are_all_answered_and_every_commit_that_they_are_told_of_stands(
    hub: Hub, api: HfApi
) -> None:
    hub.commit_seconds = 0.01
    told: list[str] = []

    def work(number: int) -> None:
        for turn in range(3):
            while True:
                parent = str(api.dataset_info(DATA).sha)
                try:
                    told.append(commit(api, f"{number}-{turn}.json", b"x", parent).oid)
                    break
                except HfHubHTTPError as error:
                    assert status(error) in (409, 412)
                    time.sleep(0.05 * (number % 7))

    with ThreadPoolExecutor(50) as clients:
        list(clients.map(work, range(50)))
    made = [commit.oid for commit in hub.repositories[DATA].commits[1:]]
    assert sorted(made) == sorted(told)
    assert len(hub.repositories[DATA].files) == 151


def test_faults_at_a_rate_are_counted_and_what_has_landed_stands(hub: Hub, api: HfApi) -> None:
    hub.fail_often("commit", 0.2, 409)
    hub.fail_often("commit", 0.2, 500)
    hub.fail_often("commit", 0.2, 500, landed=True)
    hub.fail_often("commit", 0.1)
    seen: dict[int, int] = {}
    for number in range(60):
        try:
            commit(api, f"{number}.json", b"x")
            outcome = 200
        except HfHubHTTPError as error:
            outcome = status(error)
        except Exception:  # the connection was cut: httpx's own error
            outcome = 0
        seen[outcome] = seen.get(outcome, 0) + 1
    counts = hub.injected
    assert all(counts.values())
    assert set(counts) == {"commit 409", "commit 500", "commit 500 landed", "commit cut"}
    assert seen == {
        200: 60 - counts.total(),
        409: counts["commit 409"],
        500: counts["commit 500"] + counts["commit 500 landed"],
        0: counts["commit cut"],
    }
    assert len(hub.repositories[DATA].commits) == 1 + seen[200] + counts["commit 500 landed"]


def test_a_refusal_can_say_when_to_come_back(hub: Hub, api: HfApi) -> None:
    hub.fail_often("info", 1.0, 429, headers={"Retry-After": "1"})
    with pytest.raises(HfHubHTTPError) as refused:
        api.dataset_info(DATA)
    assert (status(refused.value), refused.value.response.headers["Retry-After"]) == (429, "1")


def test_commits_beyond_the_quota_are_refused_until_the_hour_has_passed(
    hub: Hub, api: HfApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("hub._writing.time", SimpleNamespace(monotonic=lambda: now, sleep=time.sleep))
    hub.commits_per_hour = 3
    for number in range(3):
        commit(api, f"{number}.json", b"x")
    with pytest.raises(HfHubHTTPError, match="3 per hour") as refused:
        commit(api, "4.json", b"x")
    wait = int(refused.value.response.headers["Retry-After"])
    assert (status(refused.value), wait) == (429, 3600)
    assert hub.refused_commits == 1
    now += wait
    commit(api, "4.json", b"x")
    assert len(hub.repositories[DATA].commits) == 5


def test_old_revisions_expire_where_only_some_are_kept(hub: Hub, api: HfApi) -> None:
    hub.history = 2
    made = [commit(api, "a.json", b"%d" % number).oid for number in range(4)]
    assert len(hub.repositories[DATA].commits) == 5
    for oid in made[2:]:
        assert api.dataset_info(DATA, revision=oid).sha == oid
    with pytest.raises(RevisionNotFoundError):
        api.dataset_info(DATA, revision=made[1])


def test_a_commit_of_what_is_there_already_succeeds_without_one(hub: Hub, api: HfApi) -> None:
    first = commit(api, "a.json", b"1").oid
    second = commit(api, "b.json", b"1").oid
    hub.asked.clear()
    assert commit(api, "a.json", b"1", parent=first).oid == second
    assert "commit" not in {what for _, _, what in hub.asked}
    assert len(hub.repositories[DATA].commits) == 3
