"""Results files of lm_eval to one tidy table: one row a metric of a task of a model in one configuration."""

from dispersion_leaderboard.records._clean import clean
from dispersion_leaderboard.records._conventions import Conventions, read_conventions
from dispersion_leaderboard.records._screens import SCREEN
from dispersion_leaderboard.records._signals import SIGNALS, KnownSignal
from dispersion_leaderboard.records._source import results_files, results_folder
from dispersion_leaderboard.records._table import Records, read_records, write_parquet, write_table

__all__ = [
    "SCREEN",
    "SIGNALS",
    "Conventions",
    "KnownSignal",
    "Records",
    "clean",
    "read_conventions",
    "read_records",
    "results_files",
    "results_folder",
    "write_parquet",
    "write_table",
]
