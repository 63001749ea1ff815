"""Many results files to one tidy table, read again only where a file has changed, with duplicates settled."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from dispersion_leaderboard.records._conventions import Conventions
from dispersion_leaderboard.records._read import BadFile, Row, read_rows
from dispersion_leaderboard.records._screens import join_screens
from dispersion_leaderboard.records._source import Found, results_files, results_folder

_WORDS = pa.dictionary(pa.int32(), pa.string())
_MEASURED = pa.schema(
    [
        (name, _WORDS)
        for name in (
            "entry",
            "record",
            "model",
            "revision",
            "gguf_file",
            "peft",
            "dtype",
            "quantisation",
            "engine",
            "model_type",
            "tokenizer",
            "chat_template",
            "system_prompt",
            "task",
            "base_task",
            "version",
            "task_hash",
            "metric",
            "filter",
            "how",
            "kind",
            "definition",
            "corpus",
            "corpus_hash",
            "parent",
            "date",
            "source",
            "device",
            "lm_eval",
            "transformers",
            "plugin",
            "command",
        )
    ]
    + [(name, pa.int64()) for name in ("parameters", "n_shot", "n", "n_original", "choices")]
    + [(name, pa.bool_()) for name in ("on_hub", "group", "limited", "higher_is_better", "signal")]
    + [("value", pa.float64()), ("stderr", pa.float64())]
    + [(name, pa.list_(pa.float64())) for name in ("profile", "profile_stderr")]
    + [("quantiles", pa.list_(pa.float32()))]
)
_ORDER = ["model", "entry", "task", "n_shot", "metric", "filter", "source"]
_CHUNK = 50


@dataclass(frozen=True)
class Records:
    """What a set of results files says."""

    table: pd.DataFrame
    """One row a metric of a task of a model in one configuration; sorted, without duplicates."""
    superseded: pd.DataFrame
    """``record``, ``entry``, ``model``, ``task``, ``source``, ``date``, ``replaced_by``, ``why``: what a newer or
    fuller run stands in for."""
    skipped: tuple[tuple[str, str], ...]
    """(file, why) of what could not be read, and of screens of models of which nothing else is known."""


def read_records(sources: Sequence[str], conventions: Conventions, cache: Path | None = None) -> Records:
    """Reads every results file below some folders or Hub datasets.

    Args:
        sources: what ``results_folder`` takes.
        conventions: for all that is said of a model beside its measurements.
        cache: a folder in which what was read is kept for the next time.

    Raises:
        SystemExit: where a source is not there, or nothing in them can be read, in one line.
    """
    folders = [results_folder(source) for source in sources]
    found = results_files(folders)
    measured, skipped = _read_all(found, cache)
    if not measured.num_rows:
        why = f"; skipped {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise SystemExit(f"leaderboard: no results_*.json of lm_eval below {', '.join(sources)}{why}")
    table = measured.to_pandas()
    del measured
    # Reading leaves Arrow's pool several times as large as what was read.
    pa.default_memory_pool().release_unused()
    table, alone = join_screens(table)
    if table.empty:
        raise SystemExit(f"leaderboard: only screens below {', '.join(sources)}; a board needs results of lm_eval, too")
    table, superseded = _settled(_described(table, conventions))
    table = table.sort_values(_ORDER, kind="stable", ignore_index=True)
    return Records(table, superseded, tuple(sorted([*skipped, *alone])))


def write_parquet(table: pd.DataFrame, file: Path) -> None:
    """The table as Parquet; the same table gives the same bytes."""
    beside = file.with_name(f".{file.name}")
    pq.write_table(
        pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(), beside, compression="zstd"
    )
    beside.replace(file)


def write_table(table: pd.DataFrame, file: Path) -> None:
    """Exports the table as ``.parquet``, ``.csv`` or ``.json`` (a list of rows), by the file's name.

    Raises:
        SystemExit: for another name, in one line.
    """
    beside = file.with_name(f".{file.name}")
    if file.suffix == ".parquet":
        write_parquet(table, file)
        return
    if file.suffix == ".csv":
        words = table.select_dtypes(["category", "string", "object"]).columns
        table.assign(**{name: table[name].map(_no_formula) for name in words}).to_csv(beside, index=False)
    elif file.suffix == ".json":
        table.to_json(beside, orient="records", indent=1, force_ascii=False)
    else:
        raise SystemExit(f"leaderboard: {file}: name it .parquet, .csv or .json")
    beside.replace(file)


def _no_formula(value: object) -> object:
    """A text that a spreadsheet would run is set off with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def _read_all(found: list[Found], cache: Path | None) -> tuple[pa.Table, list[tuple[str, str]]]:
    refused = {one.name: "a link to outside its folder" for one in found if one.outside}
    files = [(one.file, one.name) for one in found if not one.outside]
    stamps = {name: _stamp(file) for file, name in files}
    known, kept = _from_cache(cache, stamps)
    tables, read = [kept], dict.fromkeys(known, "")
    for table, reasons in _parse([(file, name) for file, name in files if name not in known]):
        tables.append(table)
        read |= reasons
    measured = pa.concat_tables(tables).unify_dictionaries()
    good = [name for name, reason in read.items() if not reason]
    if cache is not None and len(good) > len(known):
        # What could not be read is tried again: its rights or its disk may be better the next time.
        _to_cache(cache, measured, {name: stamps[name] for name in good})
    return measured, sorted((name, reason) for name, reason in (refused | read).items() if reason)


def _stamp(file: Path) -> list[int]:
    """Changes with the file; the time of its last change of any kind is one that no copying program sets."""
    try:
        stat = file.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _parse(files: list[tuple[Path, str]]) -> Iterator[tuple[pa.Table, dict[str, str]]]:
    chunks = [files[i : i + _CHUNK] for i in range(0, len(files), _CHUNK)]
    with tqdm(total=len(files), desc="Reading results", unit="file", delay=1) as progress:
        for table, reasons in _over_processes(chunks):
            progress.update(len(reasons))
            yield table, reasons


def _over_processes(chunks: list[list[tuple[Path, str]]]) -> Iterable[tuple[pa.Table, dict[str, str]]]:
    if len(chunks) < 4:
        return map(_parse_chunk, chunks)
    return _pooled(chunks)


def _pooled(chunks: list[list[tuple[Path, str]]]) -> Iterator[tuple[pa.Table, dict[str, str]]]:
    # Not forked: Arrow's threads do not survive a fork.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        yield from pool.map(_parse_chunk, chunks)


def _parse_chunk(files: list[tuple[Path, str]]) -> tuple[pa.Table, dict[str, str]]:
    rows: list[Row] = []
    reasons: dict[str, str] = {}
    for file, name in files:
        try:
            rows += read_rows(file, name)
            reasons[name] = ""
        except BadFile as error:
            reasons[name] = str(error)
    columns = {field.name: [row.get(field.name) for row in rows] for field in _MEASURED}
    return pa.table({name: pa.array(values, _MEASURED.field(name).type) for name, values in columns.items()}), reasons


def _reader() -> str:
    """Names the code that reads, so that what an older one read is not taken for today's."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def _from_cache(cache: Path | None, stamps: dict[str, list[int]]) -> tuple[set[str], pa.Table]:
    """The names of the files that have not changed, and their rows."""
    try:
        if cache is None:
            raise FileNotFoundError
        index = json.loads((cache / "records.json").read_text(encoding="utf-8"))
        if index["reader"] != _reader():
            raise ValueError
        same = {name for name, stamp in index["files"].items() if stamps.get(name) == stamp}
        table = pq.read_table(cache / "records.parquet", schema=_MEASURED)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return set(), _MEASURED.empty_table()
    if len(same) < len(index["files"]):
        table = table.filter(pc.is_in(table["source"].cast(pa.string()), pa.array(sorted(same), pa.string())))
    return same, table


def _to_cache(cache: Path, table: pa.Table, stamps: dict[str, list[int]]) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, cache / ".records.parquet")
    (cache / ".records.json").write_text(json.dumps({"reader": _reader(), "files": stamps}), encoding="utf-8")
    # The index last: it vouches for the table.
    (cache / "records.json").unlink(missing_ok=True)
    (cache / ".records.parquet").replace(cache / "records.parquet")
    (cache / ".records.json").replace(cache / "records.json")


def _described(table: pd.DataFrame, conventions: Conventions) -> pd.DataFrame:
    """Adds what is known of each model; what one file of a configuration tells of it holds for the others."""
    first = table.drop_duplicates("entry")[["entry", "model"]].astype(str).set_index("entry")
    for name in ("parameters", "model_type", "tokenizer"):
        told = table.loc[table[name].notna() & (table[name] != ""), ["entry", name, "date", "source"]].drop_duplicates()
        # The newest word on it, whatever the order in which the files were read.
        told = told.astype({"date": str, "source": str}).sort_values(["date", "source"], ascending=False, kind="stable")
        first[name] = told.drop_duplicates("entry").set_index("entry")[name].astype(object)
    rows = first.astype(object).where(first.notna(), None).to_dict("records")
    extra = pd.DataFrame([conventions.describe(row) for row in rows], index=first.index)
    extra = extra.astype(dict.fromkeys(("parameters", "active_parameters"), "Int64") | {"training_compute": float})
    extra = extra.astype({name: "category" for name in extra if extra[name].dtype == object})
    told = extra.loc[table["entry"].astype(str)].reset_index(drop=True)
    whole = pd.concat([table.drop(columns=["parameters", "tokenizer"]), told], axis=1)
    for name in whole.select_dtypes("category"):
        # In alphabetical order, whatever the order in which the files were read.
        used = whole[name].cat.remove_unused_categories()
        whole[name] = used.cat.reorder_categories(sorted(used.cat.categories))
    return whole


def _settled(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A full run before a limited one, then the newest; the file's name where both say the same."""
    columns = ["record", "entry", "model", "task", "source", "date", "limited"]
    runs = table[columns].drop_duplicates(["source", "task", "entry"]).astype(dict.fromkeys(columns[:-1], str))
    runs = runs.sort_values(
        ["record", "limited", "date", "source"], ascending=[True, True, False, False], kind="stable"
    )
    runs["replaced_by"] = runs.groupby("record")["source"].transform("first")
    best = runs.groupby("record")[["limited", "date"]].transform("first")
    lost = runs[runs["source"] != runs["replaced_by"]]
    best = best.loc[lost.index]
    why = pd.Series("a newer run", lost.index)
    why[lost["date"] == best["date"]] = "another copy of the same run"
    why[lost["limited"] & ~best["limited"]] = "a run of every document replaces one with --limit"
    superseded = lost.assign(why=why)[["record", "entry", "model", "task", "source", "date", "replaced_by", "why"]]
    if lost.empty:
        return table, superseded.reset_index(drop=True)
    gone = set(zip(lost["source"], lost["task"], lost["entry"], strict=True))
    runs_of_rows = zip(*(table[name].astype(str) for name in ("source", "task", "entry")), strict=True)
    keep = [run not in gone for run in runs_of_rows]
    return table[keep], superseded.sort_values(["model", "task", "date", "source"], ignore_index=True)
