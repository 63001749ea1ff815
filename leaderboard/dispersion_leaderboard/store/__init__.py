"""Where the queue and the results are kept: trees of small files, in a folder or a dataset repository of the Hub."""

from dispersion_leaderboard.store._open import PREFIX, open_tree
from dispersion_leaderboard.store._results import Results
from dispersion_leaderboard.store._tree import Moved, Tree

__all__ = ["PREFIX", "Moved", "Results", "Tree", "open_tree"]
