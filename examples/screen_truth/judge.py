"""Judges the screen's gap G by the models that train.py has trained: does it tell which of them predict code better?

python examples/screen_truth/judge.py OUT [--tied] [--picture FILE]

Prints Markdown, and writes all numbers to OUT/judged.json. What forward passes gave is kept in OUT/measured.

The analysis, written down before any model was judged:

- Truth: bits per byte of a model on held-out code: whole packages of the standard library that no model was trained on.
- Signal: G = within(T) + between(T, general) over rows of the output projection, with the token sets that
  `lm-eval-dispersion screen --tokens python` takes of this tokenizer: T, the Python keywords that are one token, with
  and without a blank before them, and its general words. The same tokens for all models; none is left out as never
  trained, since a model that saw no code is one of those to rank. The claim to test: the larger G, the fewer bits per
  byte, so Spearman's rho over the models should be negative and near -1.
- Rival: log-perplexity (nats a token) on ten kilobytes of code of other held-out packages, one forward pass. There are
  up to 20 such pieces: a model's value is their median; rho with each alone shows what one person would have had.
- Chance: rho of G with 1,000 sets of random tokens in the place of T, as many as in T, from all tokens that occur in
  the training texts and are neither in T nor general; with 1,000 sets matched to T by frequency (each token drawn from
  the 20 nearest in log frequency over half code, half prose); and with 1,000 matched by frequency in code and in prose,
  apart: tokens used as keywords are, without being any. If these reach the rho of T, then G(T) says nothing of T.
- Units are the mixtures: intervals resample them and permutations move them, with all seeds of each. Bits per byte will
  surely follow the share of code, so rho asks only whether G follows it, too. Two harder questions stand beside it: of
  two models of one mixture (they differ by seed), does G know the better one? And how many bits per byte does one lose
  by taking the model with the largest G of all?
- Secondary: within(T) and between(T, general) apart; G with other general words, the 200 most frequent of the prose;
  the same for models with tied embeddings (--tied).

Added after looking: the verdicts without the mixture with the least code, for models that saw none stand far apart;
and G of the keywords that are more than ten times as frequent in code as in prose, of the other keywords, and of as
many tokens as T has, the most frequent in code of those that are ten times as frequent there and no keywords.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import transformers
from analysis import flat, spearman, verdict
from measure import Floats, Measured, bits_per_byte, held_out, measure, output_projection
from mixtures import read_texts
from report import SIGNALS, report
from tokens import Ids, Tokens, choose, matched_sets, random_sets
from tqdm import tqdm

from lm_eval_dispersion.screen import between, check_sets, gap, spelled, within

SETS = 1000


def main(out: Path, tied: bool = False, picture: Path | None = None, sets: int = SETS) -> str:
    """Markdown of what the models in ``out`` show.

    Raises:
        SystemExit: where no three mixtures have been trained.
    """
    folders = models(out / "models", tied)
    transformers.logging.disable_progress_bar()
    texts = read_texts()
    parts = held_out(texts.judged_code, texts.judged_prose, texts.glimpse)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out / "tokenizer")
    every = [folder for of_mixture in folders.values() for folder in of_mixture]
    chosen = spelled(str(every[0]), check_sets(["python"]))
    tokens = choose(tokenizer, chosen["python"], chosen["general"], texts.code, texts.prose)
    measured = [
        measure(folder, parts, out / "measured" / f"{folder.name}.json") for folder in tqdm(every, unit="model")
    ]
    rows = [output_projection(folder) for folder in every]
    found = judge(list(folders), measured, rows, tokens, sets)
    found |= chosen
    name = "judged-tied" if tied else "judged"
    (out / f"{name}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    if picture:
        from picture import draw

        draw(found, picture)
    return report(found)


def models(folder: Path, tied: bool) -> dict[int, list[Path]]:
    """Percent of code -> models; only seeds that all mixtures have, for a mixture with fewer would count for less."""
    trained: dict[int, dict[int, Path]] = {}
    for told in sorted(folder.glob("*/training.json")):
        model = json.loads(told.read_text(encoding="utf-8"))
        if model["tied"] == tied:
            trained.setdefault(model["share"], {})[model["seed"]] = told.parent
    seeds = set.intersection(*map(set, trained.values())) if trained else set()
    if len(trained) < 3 or not seeds:
        raise SystemExit(f"{folder} has no three mixtures of one seed; train.py makes them")
    return {share: [trained[share][seed] for seed in sorted(seeds)] for share in sorted(trained)}


def judge(shares: list[int], measured: Sequence[Measured], rows: Sequence[Floats], tokens: Tokens, sets: int) -> dict:
    """All numbers, as JSON can hold them; models in order of their mixture, then seed."""

    def by_mixture(values: Sequence[float]) -> Floats:
        return np.array(values, dtype=float).reshape(len(shares), -1)

    code, prose = (by_mixture([bits_per_byte(getattr(m, part)) for m in measured]) for part in ("code", "prose"))
    glimpses = np.stack([by_mixture(column) for column in np.stack([m.log_perplexity for m in measured], axis=1)])
    domain, general = [r[tokens.domain] for r in rows], [r[tokens.general] for r in rows]
    values = {
        "G": by_mixture([gap(*both) for both in zip(domain, general, strict=True)]),
        "everyday": by_mixture([gap(d, r[tokens.everyday]) for d, r in zip(domain, rows, strict=True)]),
        "within": by_mixture([within(r) for r in domain]),
        "between": by_mixture([between(*both) for both in zip(domain, general, strict=True)]),
        "log_perplexity": np.median(glimpses, axis=0),
    }
    chance = chance_sets(tokens, sets)
    of_chance = {
        name: np.stack([by_mixture([gap(r[ids], g) for r, g in zip(rows, general, strict=True)]) for ids in chosen])
        for name, chosen in chance.items()
    }
    log_frequency = _log(tokens.frequency)
    best = float(code.min())
    return {
        "shares": shares,
        "bits_per_byte_of_code": code.tolist(),
        "bits_per_byte_of_prose": prose.tolist(),
        "values": {key: value.tolist() for key, value in values.items()},
        "verdicts": {key: asdict(verdict(value, code, SIGNALS[key][1])) for key, value in values.items()},
        "after_looking": {
            name: asdict(verdict(by_mixture([gap(r[ids], g) for r, g in zip(rows, general, strict=True)]), code, -1))
            for name, ids in after_looking(tokens).items()
        },
        "verdicts_without_the_first": {
            key: asdict(verdict(value[1:], code[1:], SIGNALS[key][1]))
            for key, value in values.items()
            if len(shares) > 3
        },
        "log_frequency": log_frequency[tokens.domain].mean(0).tolist(),
        "rho_of_each_glimpse": [float(spearman(flat(one), flat(code))) for one in glimpses],
        "chance": {
            name: {
                "rho": spearman(flat(gaps), flat(code)[None]).tolist(),
                "regret": (flat(code)[flat(gaps).argmax(-1)] - best).tolist(),
                "log_frequency": log_frequency[chance[name]].mean((0, 1)).tolist(),
            }
            for name, gaps in of_chance.items()
        },
    }


def chance_sets(tokens: Tokens, count: int) -> dict[str, Ids]:
    """Of the three kinds in the module's docstring, [count, as many as in T] each."""
    rng = np.random.default_rng(0)
    apart, pooled = _log(tokens.frequency), _log(tokens.frequency.mean(1, keepdims=True))
    return {
        "random": random_sets(rng, tokens.others, len(tokens.domain), count),
        "frequency": matched_sets(rng, tokens.others, tokens.domain, pooled, count),
        "both frequencies": matched_sets(rng, tokens.others, tokens.domain, apart, count),
    }


def after_looking(tokens: Tokens) -> dict[str, Ids]:
    """Name -> tokens; of the three kinds that the module's docstring names those of at least five tokens."""
    log = _log(tokens.frequency)
    of_code = log[:, 0] - log[:, 1] > np.log(10)
    others = tokens.others[of_code[tokens.others]]
    most = others[np.argsort(-tokens.frequency[others, 0], kind="stable")][: len(tokens.domain)]
    kinds = {
        "keywords of code alone": tokens.domain[of_code[tokens.domain]],
        "keywords that are words, too": tokens.domain[~of_code[tokens.domain]],
        "other tokens of code alone": most,
    }
    return {f"{name} ({len(ids)})": ids for name, ids in kinds.items() if len(ids) >= 5}


def _log(frequency: Floats) -> Floats:
    # A token that does not occur counts as if it did so half a time in a million.
    return np.asarray(np.log(frequency + 0.5))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--tied", action="store_true", help="judge the models that train.py --tied has trained")
    parser.add_argument("--picture", type=Path, metavar="FILE")
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        print(main(given.out, given.tied, given.picture))
    except KeyboardInterrupt:
        raise SystemExit("judge: stopped; what is measured stays, and the same command goes on there") from None
