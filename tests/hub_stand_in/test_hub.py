"""The stand-in of the Hub behaves as the Hub is known to, seen through the real client."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub import Hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

DATA = "org/records"


@pytest.fixture
def api(api: HfApi) -> HfApi:
    api.create_repo(DATA, repo_type="dataset")
    return api


def commit(api: HfApi, files: dict[str, bytes], parent: str | None = None) -> str:
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    return api.create_commit(DATA, operations, commit_message="x", repo_type="dataset", parent_commit=parent).oid


def head(api: HfApi) -> str:
    return str(api.dataset_info(DATA).sha)


def test_files_come_back_as_they_were_sent_and_the_tree_names_them_as_git_does(
    hub: Hub, api: HfApi, tmp_path: Path
) -> None:
    hub.page = 2
    oid = commit(api, {"a.json": b"hello\n", "sub/b.json": b"", "sub/deep/c.parquet": b"PAR1"})
    tree = {entry.path: entry for entry in api.list_repo_tree(DATA, repo_type="dataset", recursive=True)}
    assert set(tree) == {".gitattributes", "a.json", "sub", "sub/b.json", "sub/deep", "sub/deep/c.parquet"}
    # `printf 'hello\n' | git hash-object --stdin`, and the same of nothing.
    assert tree["a.json"].blob_id == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert tree["sub/b.json"].blob_id == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    # `printf PAR1 | sha256sum`
    assert tree["sub/deep/c.parquet"].lfs.sha256 == "fbc62d3b511368ee275ddc74117d8689b430e1427220e25d30816201d89ca7b6"
    assert (oid, tree["sub/deep/c.parquet"].size) == (head(api), 4)
    fetched = api.hf_hub_download(DATA, "sub/deep/c.parquet", repo_type="dataset", cache_dir=tmp_path)
    assert Path(fetched).read_bytes() == b"PAR1"


def test_a_parent_that_is_not_the_head_is_412_and_an_empty_commit_does_not_ask_for_it(hub: Hub, api: HfApi) -> None:
    first = head(api)
    second = commit(api, {"a.json": b"1"}, first)
    with pytest.raises(HfHubHTTPError) as refused:
        commit(api, {"a.json": b"2"}, first)
    assert refused.value.response.status_code == 412
    assert commit(api, {"a.json": b"1"}, first) == second == head(api)
    assert len(hub.repositories[DATA].commits) == 2


def test_of_commits_at_one_time_one_lands_and_the_others_are_409_with_the_head_not_moved(hub: Hub, api: HfApi) -> None:
    parent = head(api)
    hub.commit_seconds = 1.0

    def attempt(number: int) -> int:
        try:
            commit(api, {f"{number}.json": b"x"}, parent)
        except HfHubHTTPError as error:
            return error.response.status_code
        return 200

    with ThreadPoolExecutor(3) as threads:
        assert sorted(threads.map(attempt, range(3))) == [200, 409, 409]
    assert len(hub.repositories[DATA].commits) == 2


def test_deletions_and_what_is_not_there(hub: Hub, api: HfApi) -> None:
    commit(api, {"a/b.json": b"1", "a/c.json": b"2", "d.json": b"3"})
    api.create_commit(
        DATA,
        [CommitOperationDelete("a/"), CommitOperationDelete("d.json")],
        commit_message="x",
        repo_type="dataset",
    )
    assert set(hub.repositories[DATA].files) == {".gitattributes"}
    with pytest.raises(HfHubHTTPError, match="A file with this name doesn't exist"):
        api.create_commit(DATA, [CommitOperationDelete("d.json")], commit_message="x", repo_type="dataset")
    assert len(hub.repositories[DATA].commits) == 3


def test_who_may_do_what(hub: Hub, api: HfApi) -> None:
    assert [org["name"] for org in api.whoami()["orgs"]] == ["org"]
    hub.repositories[DATA].private = True
    hub.tokens["hf_reader"] = frozenset()
    for token, status in (("hf_reader", 404), (False, 401)):
        with pytest.raises(RepositoryNotFoundError) as unseen:
            api.dataset_info(DATA, token=token)
        assert unseen.value.response.status_code == status
    for token, status in (("hf_reader", 403), (False, 401), ("hf_unknown", 401)):
        with pytest.raises(HfHubHTTPError) as refused:
            api.create_repo("org/more", repo_type="dataset", token=token)
        assert refused.value.response.status_code == status
    with pytest.raises(HfHubHTTPError) as again:
        api.create_repo(DATA, repo_type="dataset")
    assert again.value.response.status_code == 409
    assert str(api.create_repo(DATA, repo_type="dataset", exist_ok=True)) == f"{hub.url}/datasets/{DATA}"
