"""Capture on lm_eval's ``VLLM``, during its own request methods; the states are summed in the engine's workers.

lm_eval hands the engine token ids, so a prompt is known by its tokens: before each call of the engine the workers are
told which positions of which prompts to sum, and afterwards they hand over the sums. What the workers do is in
``_vllm_worker``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lm_eval_dispersion.capture._describe import parameters_of, quantisation_of, tokenizer_hash
from lm_eval_dispersion.capture._listen import listening, prefix_length, prefix_tokens
from lm_eval_dispersion.capture._protocol import (
    WINDOW,
    AttributionError,
    OnPrompt,
    OnWindow,
    Reduced,
    Unsupported,
)
from lm_eval_dispersion.capture._rolling import Wanted, rolling
from lm_eval_dispersion.capture._vllm_worker import name_of
from lm_eval_dispersion.geometry import closed_form, unit_sums

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.models.vllm_causallms import VLLM

# (start, stop, truncated) of a prompt, and the requests that wait for it; by the prompt's name.
Awaited = dict[bytes, list[tuple[int, tuple[int, int, bool]]]]
_OTHER_RUNNER = "if the run can be repeated, set VLLM_USE_V2_MODEL_RUNNER=0 to use vLLM's other model runner"


class VLLMCapture:
    """See ``Capture``; ``lm`` is the object ``lm_eval --model vllm`` built."""

    def __init__(self, lm: VLLM) -> None:
        if lm.data_parallel_size > 1:
            raise Unsupported(
                "data_parallel_size > 1 starts an engine for each call, out of reach of dispersion; use "
                "tensor_parallel_size, or run lm_eval once on each part of the tasks"
            )
        if lm.model.llm_engine.vllm_config.parallel_config.pipeline_parallel_size > 1:
            raise Unsupported("pipeline_parallel_size > 1 is out of reach of dispersion; use tensor_parallel_size")
        self._lm = lm
        self._prefixes = prefix_tokens(lm)
        self._layers: list[int] = []
        with self._recording({}, totals=False):
            pass  # says now, before the run, what cannot be done

    @property
    def window(self) -> int:
        """See ``Capture``; the engine's limit holds a window's last token and one that it generates beside it."""
        return min(WINDOW, int(self._lm.model.llm_engine.model_config.max_model_len) - 2)

    def describe(self) -> dict[str, Any]:
        """See ``Capture``."""
        config = self._lm.model.llm_engine.vllm_config
        text = config.model_config.hf_text_config
        parallel = config.parallel_config
        return {
            "engine": {
                "name": "vllm",
                "lm_class": type(self._lm).__name__,
                "dtype": str(config.model_config.dtype).removeprefix("torch."),
                "processes": int(parallel.world_size),
                "versions": {name: version(name) for name in ("lm_eval", "torch", "transformers", "vllm")},
            },
            "model": {
                "model_type": text.model_type,
                "layers": getattr(text, "num_hidden_layers", None),
                "hidden_size": getattr(text, "hidden_size", None),
                "vocab_size": getattr(text, "vocab_size", None),
                "parameters": parameters_of(config.model_config.hf_config),
                "quantisation": config.model_config.quantization or quantisation_of(config.model_config.hf_config),
                "peft": self._lm.lora_request is not None,
                "tokenizer_hash": tokenizer_hash(self._lm.tokenizer),
            },
            "layers": self._layers,
        }

    def loglikelihood(
        self, requests: Sequence[Instance], prompts: set[int], on_prompt: OnPrompt
    ) -> list[tuple[float, bool]]:
        """See ``Capture``."""
        longest = self._lm.max_length - 1

        def score(inner: Callable[..., Any], requests: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            awaited: Awaited = {}
            for index in sorted(prompts):
                context, continuation = requests[index][1:]
                tokens = (context + continuation)[-longest:]
                cut = len(context) + len(continuation) - len(tokens)
                stop = max(0, len(context) - cut)
                start = 0 if cut else prefix_length(self._prefixes, context)
                if stop > start:
                    awaited.setdefault(name_of(tokens), []).append((index, (start, stop, cut > 0)))
            with self._reduced(awaited, False, on_prompt):
                return inner(requests, *args, **kwargs)

        with listening(self._lm, _loglikelihood_tokens=score):
            return list(self._lm.loglikelihood(list(requests)))

    def loglikelihood_rolling(self, requests: Sequence[Instance], on_window: OnWindow) -> list[float]:
        """See ``Capture``; a window's vectors are at its scored positions, without the document's prefix."""

        def reducing(wanted: list[Wanted], on_reduced: Callable[[int, Reduced], None]) -> AbstractContextManager[None]:
            awaited: Awaited = {}
            for index, tokens, start in wanted:
                awaited.setdefault(name_of(tokens), []).append((index, (start, len(tokens) - 1, False)))
            return self._reduced(awaited, True, on_reduced)

        window = self.window
        limits = {"window": window, "max_length": window + 2}  # lm_eval's class takes these two off again
        made = list(requests)
        return rolling(self._lm, made, on_window, reducing, **limits, prefixes=self._prefixes, padded=False)

    def generate_until(self, requests: Sequence[Instance], prompts: set[int], on_prompt: OnPrompt) -> list[str]:
        """See ``Capture``; a prompt of which the engine has a prefix in its cache is computed whole all the same."""
        waiting: Awaited = {}

        def encode(inner: Callable[..., Any], strings: Any, *args: Any, **kwargs: Any) -> Any:
            encoded = inner(strings, *args, **kwargs)
            if not isinstance(strings, str):
                for index in sorted(prompts):
                    tokens, cut = self._as_sent(encoded[index], requests[index].args[1])
                    start = 0 if cut else prefix_length(self._prefixes, tokens)
                    if len(tokens) > start:
                        waiting.setdefault(name_of(tokens), []).append((index, (start, len(tokens), cut)))
            return encoded

        def generate(inner: Callable[..., Any], requests: list[list[int]], *args: Any, **kwargs: Any) -> Any:
            names = [name_of(tokens) for tokens in requests]
            awaited = {name: waiting.pop(name) for name in dict.fromkeys(names) if name in waiting}
            for name, parameters in zip(names, kwargs["sampling_params"], strict=True):
                if name in awaited:
                    parameters.skip_reading_prefix_cache = True
            with self._reduced(awaited, False, on_prompt):
                return inner(requests, *args, **kwargs)

        with listening(self._lm, tok_encode=encode, _model_generate=generate):
            answers = list(self._lm.generate_until(list(requests)))
        if waiting:
            raise AttributionError(f"{len(waiting)} prompts were never handed to vLLM")
        return answers

    def _as_sent(self, tokens: list[int], gen_kwargs: dict[str, Any]) -> tuple[list[int], bool]:
        """A prompt as lm_eval's ``VLLM.generate_until`` cuts it, by the same functions."""
        from lm_eval.models.utils import maybe_truncate

        lm = self._lm
        _, _, room = lm.modify_gen_kwargs(dict(gen_kwargs), eos=None, default_max_gen_toks=lm.max_gen_toks)
        sent, _ = maybe_truncate(
            tokens, max_gen_toks=room, max_model_len=lm.max_length, side=lm.truncation_side, verbose=False
        )
        return list(sent), len(sent) < len(tokens)

    @contextmanager
    def _reduced(self, awaited: Awaited, totals: bool, on_reduced: Callable[[int, Reduced], None]) -> Iterator[None]:
        """Hands over what the engine's calls inside the block reduce; all of it, or it is an error."""
        if not awaited:
            yield
            return
        spans = {name: sorted({(a, b) for _, (a, b, _) in waiting}) for name, waiting in awaited.items()}
        with self._recording(spans, totals):
            yield
            for name, span, found in self._taken():
                waiting = awaited[name]
                reduced = {cut: _reduced(span, found, cut) for cut in {c for _, (a, b, c) in waiting if (a, b) == span}}
                for index, (start, stop, cut) in waiting:
                    if (start, stop) == span:
                        on_reduced(index, reduced[cut])
                spans[name].remove(span)
        missing = sum(map(len, spans.values()))
        if missing:
            raise AttributionError(
                f"vLLM's worker did not show every position of {missing} prompts: nothing is recorded rather than "
                f"guessed; {_OTHER_RUNNER}"
            )

    def _taken(self) -> Iterator[tuple[bytes, tuple[int, int], dict[str, Any]]]:
        while any(pieces := self._call("dispersion_take")):
            for piece in filter(None, pieces):
                with np.load(io.BytesIO(piece), allow_pickle=False) as file:
                    arrays = {key: file[key] for key in file.files}
                for i in range(len(arrays["name"])):
                    start, stop = arrays["span"][i].tolist()
                    yield arrays["name"][i].tobytes(), (start, stop), {key: values[i] for key, values in arrays.items()}

    @contextmanager
    def _recording(self, spans: dict[bytes, list[tuple[int, int]]], totals: bool) -> Iterator[None]:
        try:
            told = self._call("dispersion_begin", spans, totals)
        except Exception as error:
            # What a worker raises comes back as another kind of exception in each of vLLM's executors.
            if "dispersion_begin" not in str(error) and not isinstance(error, NotImplementedError):
                raise
            raise Unsupported(
                "vLLM's workers did not load lm-eval-dispersion: it has to be installed in their environment, and "
                "VLLM_PLUGINS, where that is set, has to name lm_eval_dispersion"
            ) from None
        try:
            for one in told:
                if one["missing"]:
                    raise Unsupported(
                        f"vLLM {version('vllm')} has no {one['missing'][0]} in its model runner, which dispersion "
                        "listens to; version 0.32 is known to work"
                    )
            depth = told[0]["layers"]
            self._layers = list(range(depth + 1)) if all(one["all_layers"] for one in told) else [depth]
            yield
        finally:
            self._call("dispersion_end")

    def _call(self, method: str, *args: Any) -> list[Any]:
        return list(self._lm.model.collective_rpc(method, args=args))


def _reduced(span: tuple[int, int], found: dict[str, Any], cut: bool) -> Reduced:
    counts, last = found["counts"], unit_sums(torch.from_numpy(found["last"]).unsqueeze(-2))
    must = span[1] - span[0]
    if (counts.sum(-1) != must).any():
        raise AttributionError(f"a prompt of {must} vectors was reduced to {counts.sum(-1).tolist()}; {_OTHER_RUNNER}")
    return Reduced(
        dispersion=closed_form(torch.from_numpy(found["square"]), torch.from_numpy(counts[:, 0])).numpy(),
        vectors=must,
        zero=counts[:, 1],
        nonfinite=counts[:, 2],
        last=last.total.numpy(),
        last_count=last.count.numpy(),
        total=found.get("total"),
        truncated=cut,
    )
