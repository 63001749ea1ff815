"""What is trained: the sizes, and of each its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

ARMS: dict[str, str | None] = {
    "plain": None,
    "push_away": "push_away",
    "push_away_decayed": "push_away",
    "dispersive": "dispersive",
    "uniformity": "uniformity",
    "koleo": "koleo",
}
"""Arm -> its objective, a name in ``lm_eval_dispersion.training``. Mean-cosine is none: its gradient is push-away's."""
SETTINGS = {"single": ("prose",), "cross": ("prose", "code")}
"""Setting -> its texts, of which a run sees as much of each. In ``cross`` only pairs of two texts are pushed apart."""


@dataclass(frozen=True)
class Cell:
    """Runs that are compared with each other: alike but for the arm."""

    setting: str
    rate: float
    """Highest learning rate: linear over the first twentieth of the steps, then half a cosine to a tenth."""


@dataclass(frozen=True)
class Run:
    """One training."""

    cell: Cell
    arm: str
    lam: float
    seed: int
    """Of its first weights, of which windows it sees, and of their order."""
    judged: bool
    """Whether it is measured on the test text; otherwise on validation text, to choose ``lam``."""

    @property
    def name(self) -> str:
        """Of its file."""
        purpose = "test" if self.judged else "validation"
        return f"{self.cell.setting}-{self.cell.rate:g}-{self.arm}-{self.lam:g}-{purpose}-{self.seed}"


@dataclass(frozen=True)
class Plan:
    """What all runs of one folder have in common."""

    cells: tuple[Cell, ...]
    arms: tuple[str, ...] = tuple(ARMS)
    lams: tuple[float, ...] = (0.01, 0.1, 1.0)
    """Of which one is chosen for each cell and arm."""
    choosing_seeds: tuple[int, ...] = (101,)
    judged_seeds: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    vocabulary: int = 1024
    width: int = 64
    layers: int = 2
    heads: int = 2
    context: int = 64
    steps: int = 176
    """A multiple of 16."""
    batch: int = 8
    """Windows a step."""
    decay: float = 0.1
    """Weight decay."""
    held_out: int = 96
    """Windows of each text to measure on."""
    points: tuple[int, ...] = field(init=False)
    """Steps at which a run is measured; the fourth is a quarter, the eighth three quarters, the last all of them."""

    def __post_init__(self) -> None:
        sixteenths = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16)
        object.__setattr__(self, "points", tuple(self.steps * part // 16 for part in sixteenths))


SIZES = {
    # 189 runs of about 8 seconds.
    "cpu": Plan(cells=(Cell("single", 1e-3), Cell("single", 3e-3), Cell("cross", 3e-3)), steps=288),
    # 30 runs of about 5 seconds.
    "short": Plan(cells=(Cell("single", 3e-3),), arms=("plain", "push_away", "push_away_decayed")),
    # 19 runs: GPT-2 small with the paper's rate, on as many tokens as there are without seeing one twice.
    "gpt2-small": Plan(
        cells=(Cell("single", 5e-4),),
        arms=("plain", "push_away"),
        vocabulary=4096,
        width=768,
        layers=12,
        heads=12,
        context=128,
        steps=480,
    ),
}


def to_choose(plan: Plan) -> list[Run]:
    """The runs that choose each arm's weight."""
    return [
        Run(cell, arm, lam, seed, judged=False)
        for seed in plan.choosing_seeds
        for cell in plan.cells
        for arm in plan.arms
        if arm != "plain"
        for lam in plan.lams
    ]


def to_judge(plan: Plan, chosen: Mapping[tuple[Cell, str], float]) -> Iterator[Run]:
    """The runs that are compared, a seed of everything before the next: whatever is done is of as many seeds."""
    for seed in plan.judged_seeds:
        for cell in plan.cells:
            for arm in plan.arms:
                lam = 0.0 if arm == "plain" else chosen[cell, arm]
                yield Run(cell, arm, lam, seed, judged=True)
