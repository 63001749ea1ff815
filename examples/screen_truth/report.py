"""The truth test's tables, as Markdown."""

from __future__ import annotations

import numpy as np
from analysis import Verdict

SIGNALS = {
    "G": ("G(keywords)", -1),
    "everyday": ("G(keywords), other general words", -1),
    "within": ("within(keywords) alone", -1),
    "between": ("between(keywords, general) alone", -1),
    "log_perplexity": ("log-perplexity of 10 kB of code", 1),
}
"""Key -> name, and the sign that rho should have."""
CHANCE = {
    "random": "random tokens",
    "frequency": "tokens of the keywords' frequency",
    "both frequencies": "tokens of the keywords' frequency in code and in prose",
}


def report(found: dict) -> str:
    """Three tables: the mixtures, the signals, and sets by chance."""
    lines = ["| code in training | bits per byte of code | of prose | G(keywords) | log-perplexity of 10 kB |"]
    lines.append("|---|---|---|---|---|")
    columns = (
        found["bits_per_byte_of_code"],
        found["bits_per_byte_of_prose"],
        found["values"]["G"],
        found["values"]["log_perplexity"],
    )
    for share, *cells in zip(found["shares"], *columns, strict=True):
        lines.append(f"| {share} % | {' | '.join(', '.join(f'{v:.3f}' for v in seeds) for seeds in cells)} |")
    lines += ["", *_verdicts(found["verdicts"])]
    lines += ["", "| in the keywords' place | log frequency | rho, median [95 % of sets] | as low | mean regret |"]
    lines.append("|---|---|---|---|---|")
    lines.append(
        f"| the keywords themselves | {_listed(found['log_frequency'])} | {found['verdicts']['G']['rho']:+.2f} | | |"
    )
    rho = found["verdicts"]["G"]["rho"]
    for name, chance in found["chance"].items():
        low, middle, high = np.percentile(chance["rho"], [2.5, 50, 97.5])
        reached = np.mean(np.array(chance["rho"]) <= rho + 1e-9)
        lines.append(
            f"| {CHANCE[name]} | {_listed(chance['log_frequency'])} "
            f"| {middle:+.2f} [{low:+.2f}, {high:+.2f}] | {reached:.1%} "
            f"| {np.mean(chance['regret']):.3f} |"
        )
    each = found["rho_of_each_glimpse"]
    lines += ["", f"Each of {len(each)} pieces of 10 kB alone: rho {min(each):+.2f} to {max(each):+.2f}, "
                  f"median {np.median(each):+.2f}."]  # fmt: skip
    if found["verdicts_without_the_first"]:
        lines += ["", f"Without the mixture of {found['shares'][0]} %:", ""]
        lines += _verdicts(found["verdicts_without_the_first"])
    lines += ["", "G of other sets, chosen after looking:", "", *_verdicts(found["after_looking"])]
    lines += ["", f"T: {len(found['python'])} tokens; general: {len(found['general'])}."]
    return "\n".join(lines)


def _listed(numbers: list[float]) -> str:
    return ", ".join(f"{number:.2f}" for number in numbers)


def _verdicts(verdicts: dict) -> list[str]:
    lines = ["| signal | rho [95 %] | p | rho of means | right within a mixture | regret, bits per byte |"]
    lines.append("|---|---|---|---|---|---|")
    for name, told in verdicts.items():
        v = Verdict(**told)
        shown = SIGNALS[name][0] if name in SIGNALS else name
        within_mixture = f"{v.agreeing} of {v.pairs}" if v.pairs else "-"
        lines.append(
            f"| {shown} | {v.rho:+.2f} [{v.low:+.2f}, {v.high:+.2f}] | {v.p:.3f} | {v.of_means:+.2f} "
            f"| {within_mixture} | {v.regret:.3f} |"
        )
    return lines
