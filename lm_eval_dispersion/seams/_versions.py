"""Which versions of other people's libraries are known to work; README.md says the same to people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Library:
    """One that we build on."""

    supported: str
    """The range of versions, as pip takes it."""
    known: str
    """A version that was run."""
    optional: bool = False


# By the distribution's name, which is also the module's.
LIBRARIES = {
    "lm_eval": Library(">=0.4.13,<0.5", "0.4.13"),
    "torch": Library(">=2.4", "2.13.0"),
    "transformers": Library(">=5.0,<6", "5.19.0"),
    "vllm": Library("==0.32.*", "0.32.0", optional=True),
}
