"""``python -m dispersion_leaderboard.law OUTPUT_PATH``: the law on every corpus task below it."""

from __future__ import annotations

import argparse
from pathlib import Path

from dispersion_leaderboard.law import by_layer, law, read_windows, table
from dispersion_leaderboard.law._picture import draw


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dispersion_leaderboard.law", description="D against log-perplexity."
    )
    parser.add_argument("output_path", type=Path, help="what lm_eval's --output_path was, with --log_samples")
    parser.add_argument("--picture", type=Path, help="also draw D by layer and D against log-perplexity")
    parser.add_argument("--layers", action="store_true", help="also print every layer")
    arguments = parser.parse_args()
    laws = [law(windows) for windows in read_windows(arguments.output_path)]
    print(table(laws))
    if arguments.layers:
        print(by_layer(laws))
    if arguments.picture:
        draw(laws, arguments.picture)
        print(f"\nPicture: {arguments.picture}")


if __name__ == "__main__":
    main()
