"""What exactly is measured. Two values of D are comparable where their definitions are equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from lm_eval_dispersion._errors import TaskError

# Raised when a number would come out differently for the same model, text and options.
VERSION = 1

# Hidden states h[l] in transformers' convention.
Layers = Literal["all", "last"] | tuple[int, ...]


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
    layers: Layers = "all"
    """Hidden states h[l] in transformers' convention; the last one is always among them, since the headline is its."""
    signals: Literal["free", "all"] = "free"
    """What is recorded beside D: the signals that lm_eval's own pass gives anyway, or also those of a window's Gram
    matrix (``geometry.spectrum``). They change no D."""
    signal_layers: Layers = "last"
    """Hidden states that have the signals of a Gram matrix."""

    def __post_init__(self) -> None:
        for name, value, least in (("window", self.window, 2), ("min_vectors", self.min_vectors, 2)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise TaskError(f"dispersion: {name} must be a whole number of at least {least}, not {value!r}")
        if self.signals not in ("free", "all"):
            raise TaskError(f'dispersion: signals must be "free" or "all", not {self.signals!r}')
        for name in ("layers", "signal_layers"):
            object.__setattr__(self, name, _checked(name, getattr(self, name)))

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
        if "signal_layers" in options and found.signals != "all":
            raise TaskError('dispersion: signal_layers are those of "signals": "all", which was not given')
        return found

    def cut_at(self, limit: int) -> Definition:
        """For a model whose windows cannot have more than ``limit`` tokens."""
        return replace(self, window=max(2, min(self.window, limit)))

    def shown(self, depth: int) -> list[int]:
        """The layers of a model of ``depth`` blocks, in order, the last one (``depth``) among them.

        Raises:
            TaskError: for a layer that the model has not.
        """
        return sorted({*_of_model(self.layers, depth), depth})

    def signalled(self, depth: int) -> list[int]:
        """The layers that have the signals of a Gram matrix, in order; none where these were not asked for.

        Raises:
            TaskError: for a layer that the model has not.
        """
        return _of_model(self.signal_layers, depth) if self.signals == "all" else []


DEFINITION_OPTIONS = ("window", "min_vectors", "layers", "signals", "signal_layers")


def _checked(name: str, layers: Any) -> Layers:
    if isinstance(layers, list | tuple):
        if layers and all(type(layer) is int and layer >= 0 for layer in layers):
            return tuple(sorted(set(layers)))
    elif layers == "all" or layers == "last":
        return layers
    raise TaskError(f'dispersion: {name} must be "all", "last" or a list such as [0, 8, 16], not {layers!r}')


def _of_model(layers: Layers, depth: int) -> list[int]:
    if isinstance(layers, str):
        return list(range(depth + 1)) if layers == "all" else [depth]
    if layers[-1] > depth:
        raise TaskError(f"dispersion: layer {layers[-1]} was asked for; the model has h[0] to h[{depth}]")
    return list(layers)
