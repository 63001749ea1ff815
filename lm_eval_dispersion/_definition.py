"""What exactly is measured. Two values of D are comparable where their definitions are equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from lm_eval_dispersion._errors import TaskError

# Raised when a number would come out differently for the same model, text and options.
VERSION = 1


@dataclass(frozen=True)
class Definition:
    """Which windows, which vectors and which layers D is taken over; docs/results.md has the words.

    A task takes it from ``--metadata '{"dispersion": {"window": 1024, "layers": "last"}}'``; ``measure`` as an
    argument.
    The defaults are those of the paper's released code.
    """

    window: int = 512
    """Tokens of a corpus window, at most: what is used is ``min(window, model limit)``. Prompts are not cut."""
    min_vectors: int = 64
    """A corpus window with fewer vectors is scored for perplexity but has no D: short segments lie far above others."""
    layers: Literal["all", "last"] | tuple[int, ...] = "all"
    """Hidden states h[l] in transformers' convention; the last one is always among them, since the headline is its."""

    def __post_init__(self) -> None:
        for name, value, least in (("window", self.window, 2), ("min_vectors", self.min_vectors, 2)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise TaskError(f"dispersion: {name} must be a whole number of at least {least}, not {value!r}")
        layers: Any = self.layers
        if isinstance(layers, list | tuple):
            if layers and all(type(layer) is int and layer >= 0 for layer in layers):
                object.__setattr__(self, "layers", tuple(sorted(set(layers))))
                return
        elif layers in ("all", "last"):
            return
        raise TaskError(f'dispersion: layers must be "all", "last" or a list such as [0, 8, 16], not {layers!r}')

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Definition:
        """From the options of a task; those that are no part of it are left alone.

        Raises:
            TaskError: for a value that means nothing, or no window could have a D.
        """
        found = cls(**{name: options[name] for name in DEFINITION_OPTIONS if name in options})
        if found.min_vectors >= found.window:
            raise TaskError(
                f"dispersion: no window of {found.window} tokens has {found.min_vectors} vectors; give a smaller "
                "min_vectors, or a larger window"
            )
        return found

    def cut_at(self, limit: int) -> Definition:
        """For a model whose windows cannot have more than ``limit`` tokens."""
        return replace(self, window=max(2, min(self.window, limit)))

    def shown(self, depth: int) -> list[int]:
        """The layers of a model of ``depth`` blocks, in order, the last one (``depth``) among them.

        Raises:
            TaskError: for a layer that the model has not.
        """
        if isinstance(self.layers, str):
            return list(range(depth + 1)) if self.layers == "all" else [depth]
        if self.layers[-1] > depth:
            raise TaskError(f"dispersion: layer {self.layers[-1]} was asked for; the model has h[0] to h[{depth}]")
        return sorted({*self.layers, depth})


DEFINITION_OPTIONS = ("window", "min_vectors", "layers")
