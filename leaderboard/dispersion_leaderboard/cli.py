"""``dispersion-leaderboard``: submit, status, work, requeue, cancel, records, build, predict, publish, serve."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dispersion_leaderboard.queue_commands import add_commands


def main(arguments: list[str] | None = None) -> None:
    """The command line; every mistake of the user's ends in one line and exit status 1."""
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "dispersion_leaderboard":
            raise
        raise SystemExit(
            f"leaderboard: {error.name} is missing; pip install 'dispersion-leaderboard[local]'"
        ) from error
    except KeyboardInterrupt:
        raise SystemExit("leaderboard: interrupted; what was finished is kept") from None
    except BrokenPipeError:
        sys.stderr.close()
    except OSError as error:
        # A full disk, a folder that may not be written: the system's own words are the clearest.
        raise SystemExit(f"leaderboard: {error.strerror or error}: {error.filename or ''}".rstrip(": ")) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dispersion-leaderboard", description="From lm_eval's results to a public leaderboard."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_commands(commands)

    results = argparse.ArgumentParser(add_help=False)
    results.add_argument(
        "--results",
        nargs="+",
        required=True,
        metavar="DIR",
        help="what lm_eval's --output_path was, or hf://datasets/OWNER/NAME",
    )
    results.add_argument(
        "--overrides", type=Path, metavar="YAML", help="families, sizes, licences, chance levels of your own"
    )

    records = commands.add_parser("records", parents=[results], help="print or export the table of results")
    records.add_argument("--out", type=Path, metavar="FILE", help="write .parquet, .csv or .json instead of printing")
    records.set_defaults(run=_records)

    build = commands.add_parser("build", parents=[results], help="make the pages")
    build.add_argument("--out", type=Path, required=True, metavar="SITE", help="an empty folder, or one built before")
    build.add_argument("--queue", metavar="PLACE", help="also a page of requests: a folder or hf://datasets/ORG/NAME")
    build.set_defaults(run=_build)

    predict = commands.add_parser("predict", parents=[results], help="predict a model's accuracy without labels")
    predict.add_argument("--model", required=True, help="as the table names it")
    what = predict.add_mutually_exclusive_group(required=True)
    what.add_argument("--task", help="a benchmark that other models have been measured on")
    what.add_argument("--domain", metavar="CORPUS", help="a corpus on which this model's D was recorded")
    predict.set_defaults(run=_predict)

    publish = commands.add_parser("publish", help="upload the pages to a Space of the Hub")
    publish.add_argument("--site", type=Path, default=Path("site"), help="what build wrote (default: site)")
    publish.add_argument("--space", required=True, metavar="ORG/NAME")
    publish.add_argument("--private", action="store_true", help="where the Space is made now")
    publish.add_argument("--dry-run", action="store_true", help="say what would be uploaded and deleted")
    publish.set_defaults(run=_publish)

    serve = commands.add_parser("serve", help="show the pages on this machine")
    serve.add_argument("--site", type=Path, default=Path("site"), help="what build wrote (default: site)")
    serve.add_argument("--port", type=int, default=7860)
    serve.set_defaults(run=_serve)
    return parser


def _records(arguments: argparse.Namespace) -> None:
    from dispersion_leaderboard.records import read_conventions, read_records, write_table

    found = read_records(arguments.results, read_conventions(arguments.overrides))
    if arguments.out:
        write_table(found.table, arguments.out)
        print(f"{len(found.table)} rows: {arguments.out}")
    else:
        shown = found.table[
            [
                "model",
                "dtype",
                "quantisation",
                "engine",
                "task",
                "n_shot",
                "metric",
                "filter",
                "value",
                "stderr",
                "n",
                "limited",
            ]
        ]
        print(shown.to_string(index=False))
    _tell_skipped(found.skipped)
    for row in found.superseded.to_dict("records"):
        print(f"{row['source']}, {row['task']}: {row['why']} ({row['replaced_by']})", file=sys.stderr)


def _build(arguments: argparse.Namespace) -> None:
    from dispersion_leaderboard.records import read_conventions
    from dispersion_leaderboard.site import build

    queue = None
    if arguments.queue:
        from dispersion_leaderboard.requests import read_queue

        queue = read_queue(arguments.queue)
    built = build(arguments.results, arguments.out, read_conventions(arguments.overrides), queue)
    _tell_skipped(built.skipped)
    fitted = sum(fit.status == "fitted" for fit in built.fits)
    print(f"{built.models} models, {len(built.fits)} benchmarks ({fitted} fitted)")
    print(arguments.out / "index.html")


def _predict(arguments: argparse.Namespace) -> None:
    from dispersion_leaderboard.answer import answer_domain, answer_task
    from dispersion_leaderboard.board import lay_out
    from dispersion_leaderboard.records import read_conventions, read_records

    conventions = read_conventions(arguments.overrides)
    board = lay_out(read_records(arguments.results, conventions), conventions)
    if arguments.task:
        print(answer_task(board, arguments.task, arguments.model))
    else:
        print(answer_domain(board, arguments.domain, arguments.model))


def _publish(arguments: argparse.Namespace) -> None:
    from dispersion_leaderboard.publish import publish

    publish(arguments.site, arguments.space, private=arguments.private, dry_run=arguments.dry_run)


def _serve(arguments: argparse.Namespace) -> None:
    from dispersion_leaderboard.publish import serve

    serve(arguments.site, arguments.port)


def _tell_skipped(skipped: tuple[tuple[str, str], ...]) -> None:
    for file, why in skipped:
        print(f"skipped {file}: {why}", file=sys.stderr)
