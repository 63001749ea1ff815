"""lm_eval copies every model argument into the metadata it writes. Ours does not add to that."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)

_SECRET = ("token", "api_key", "apikey", "password", "secret", "auth", "credential")
# Arguments of lm_eval's models whose names contain the words above and which hold no secret.
_HARMLESS = ("prefix_token_id", "add_bos_token", "think_end_token", "max_tokens")

_warned = False


def is_secret(key: str, value: Any) -> bool:
    """Whether a model argument of this name may hold a credential."""
    name = key.lower()
    if not isinstance(value, str) or not value or name.startswith("tokeniz") or name in _HARMLESS:
        return False
    return any(word in name for word in _SECRET)


def redacted(metadata: dict[str, Any]) -> dict[str, Any]:
    """Without the arguments that may hold a credential, at any depth."""
    return {
        key: redacted(value) if isinstance(value, dict) else value
        for key, value in metadata.items()
        if not is_secret(key, value)
    }


def warn_of_secrets(metadata: dict[str, Any]) -> None:
    """Says once where lm_eval is about to write a credential into its results."""
    global _warned
    names = sorted(key for key, value in metadata.items() if is_secret(key, value))
    if names and not _warned:
        _warned = True
        logger.warning(
            "lm_eval writes model arguments into its results file, %s included; our tasks leave it out of "
            "theirs, but set it in the environment (HF_TOKEN) before you publish one",
            ", ".join(names),
        )
