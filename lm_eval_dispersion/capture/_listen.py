"""What the captures of all engines share: a voice, the prefix that counts nowhere, what is still waited for."""

from __future__ import annotations

import logging
from typing import Any

from lm_eval_dispersion.capture._protocol import AttributionError

# Below lm_eval's own, whose lines its command line shows from INFO on; of others it shows warnings alone.
logger = logging.getLogger("lm_eval.dispersion")


def require_all(awaited: dict[Any, Any]) -> None:
    """Raises AttributionError where an input is still waited for."""
    if awaited:
        raise AttributionError(
            f"{len(awaited)} inputs were never seen in a forward pass: nothing is recorded rather than guessed "
            "(does this model class override lm_eval's batching?)"
        )


def prefix_tokens(lm: Any) -> set[int]:
    """The tokens that lm_eval, or a tokenizer by itself, puts before a text."""
    special = (lm.eot_token_id, lm.tokenizer.bos_token_id, lm.tokenizer.eos_token_id)
    return {token for token in special if token is not None}


def prefix_length(prefixes: set[int], tokens: list[int]) -> int:
    """How many BOS/EOT tokens lead: the one lm_eval prepends and the one a tokenizer adds by itself."""
    return next((i for i, token in enumerate(tokens) if token not in prefixes), len(tokens))
