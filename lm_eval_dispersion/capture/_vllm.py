"""Capture on lm_eval's ``VLLM``, during its own request methods; the states are summed in the engine's workers.

lm_eval hands the engine token ids, so a prompt is known by its tokens: before each call of the engine the workers are
told which positions of which prompts count, and afterwards they hand over a few numbers a prompt and layer. How they
are spoken to is in ``_vllm_engine``, what they do in ``_vllm_worker``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from lm_eval_dispersion._definition import Definition
from lm_eval_dispersion.capture._causal import why_not_causal
from lm_eval_dispersion.capture._describe import parameters_of, quantisation_of, tokenizer_hash
from lm_eval_dispersion.capture._listen import logger, prefix_length, prefix_tokens
from lm_eval_dispersion.capture._protocol import OnPrompt, OnWindow, Owners, Unsupported
from lm_eval_dispersion.capture._rolling import rolling
from lm_eval_dispersion.capture._scores import Scores
from lm_eval_dispersion.capture._spans import Awaited, Results, Span, before_cached, hand_over, name_of
from lm_eval_dispersion.capture._vllm_engine import Engine, EngineRecording
from lm_eval_dispersion.seams.model_class import listening_to
from lm_eval_dispersion.seams.vllm_model import OFF_THE_LIMIT, as_sent

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.models.vllm_causallms import VLLM

# By name: importing it here would reach into an engine of this process.
_ALL_LAYERS = "lm_eval_dispersion.capture.all_layers.AllLayers"
# Engines whose layers have been said.
_told: WeakSet[VLLM] = WeakSet()


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
        if why := why_not_causal(lm.model.llm_engine.vllm_config.model_config.hf_config):
            raise Unsupported(f"the model is not causal ({why}); dispersion is defined on causal language models")
        self._lm = lm
        self._prefixes = prefix_tokens(lm)
        self._said = False
        self._engine = Engine(lm.model)
        with self._engine.recording():
            pass  # says now, before the run, what cannot be done
        self._say_layers()

    def _say_layers(self) -> None:
        """Once an engine: an evaluation has a call for each type of request."""
        if len(self._engine.layers) > 1 or self._lm in _told:
            return
        _told.add(self._lm)
        if self._lm.model.llm_engine.vllm_config.parallel_config.worker_extension_cls == _ALL_LAYERS:
            reason = self._engine.refused or f"vLLM {version('vllm')} has loaded it in a way not listened to"
            logger.warning("dispersion of the model's last hidden state only: %s", reason)
        else:
            logger.info(
                "dispersion of the last hidden state; for all layers add worker_extension_cls=%s to --model_args",
                _ALL_LAYERS,
            )

    @property
    def limit(self) -> int:
        """See ``Capture``; the engine's limit holds a window's last token and one that it generates beside it."""
        return int(self._lm.model.llm_engine.model_config.max_model_len) - 2

    def layers(self, definition: Definition) -> list[int]:
        """See ``Capture``."""
        asked = definition.shown(self._engine.layers[-1])
        return [layer for layer in asked if layer in self._engine.layers]

    def signal_layers(self, definition: Definition) -> list[int]:
        """See ``Capture``."""
        shown = self._engine.layers
        asked = definition.signalled(shown[-1])
        found = [layer for layer in asked if layer in shown]
        if len(found) < len(asked) and not self._said:
            self._said = True
            logger.warning(
                "signals of Gram matrices of the last hidden state only%s: the engine shows no other (docs/vllm.md)",
                "" if found else ", which was not asked for",
            )
        return found

    def fingerprint(self) -> str | None:
        """See ``Capture``."""
        return self._engine.fingerprint()

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
        }

    def _recording(self, definition: Definition, totals: bool = False) -> AbstractContextManager[EngineRecording]:
        return self._engine.recording(self.layers(definition), self.signal_layers(definition), totals)

    def loglikelihood(
        self, requests: Sequence[Instance], owners: Owners, on_prompt: OnPrompt, definition: Definition
    ) -> list[tuple[float, bool]]:
        """See ``Capture``."""
        longest, scores, scored = self._lm.max_length - 1, Scores(), Awaited()

        def score(inner: Callable[..., Any], requests: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            inputs: list[tuple[list[int], Span]] = []
            for index, owner in owners.items():
                context, continuation = requests[index][1:]
                tokens = (context + continuation)[-longest:]
                cut = len(context) + len(continuation) - len(tokens)
                stop = max(0, len(context) - cut)
                start = 0 if cut else prefix_length(self._prefixes, context)
                if stop > start:
                    inputs.append((tokens, Span(-1, start, stop, cut > 0, (owner,), (index,))))
                    scored.add(*inputs[-1])
            recording.expect(inputs)
            return inner(requests, *args, **kwargs)

        def parse(inner: Callable[..., Any], tokens: list[int], outputs: Any, ctxlen: int) -> Any:
            for span in scored.pop(tokens):
                scores.see_each(span, outputs.prompt_logprobs, tokens)
            return inner(tokens=tokens, outputs=outputs, ctxlen=ctxlen)

        def so_far() -> Results:
            return scores.joined(recording.so_far())

        with (
            self._recording(definition) as recording,
            listening_to(self._lm, score=score, parse=parse),
            before_cached(self._lm, so_far, on_prompt),
        ):
            answers = list(self._lm.loglikelihood(list(requests)))
            hand_over(scores.joined(recording.results(), ended=True), on_prompt)
        return answers

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], owners: Owners, on_window: OnWindow, definition: Definition
    ) -> list[float]:
        """See ``Capture``; a window's vectors are at its scored positions, without the document's prefix."""
        shared, max_length = (self._lm, list(requests), owners, on_window), definition.window + OFF_THE_LIMIT
        with self._recording(definition, totals=True) as recording:
            return rolling(*shared, recording, definition, max_length=max_length, padded=False, bars=False)

    def generate_until(
        self, requests: Sequence[Instance], owners: Owners, on_prompt: OnPrompt, definition: Definition
    ) -> list[str]:
        """See ``Capture``; a prompt of which the engine has a prefix in its cache is computed whole all the same."""
        inputs: list[tuple[list[int], Span]] = []
        measured: set[bytes] = set()

        def encode(inner: Callable[..., Any], strings: Any, *args: Any, **kwargs: Any) -> Any:
            encoded = inner(strings, *args, **kwargs)
            if not isinstance(strings, str):
                for index, owner in owners.items():
                    tokens, begins = self._as_sent(encoded[index], requests[index].args[1])
                    cut, start = len(tokens) < len(encoded[index]), prefix_length(self._prefixes, tokens[:begins])
                    if len(tokens) > start:
                        inputs.append((tokens, Span(-1, start, len(tokens), cut, (owner,), (index,))))
                        measured.add(name_of(tokens))
                recording.expect(inputs)
            return encoded

        def generate(inner: Callable[..., Any], requests: list[list[int]], *args: Any, **kwargs: Any) -> Any:
            for tokens, parameters in zip(requests, kwargs["sampling_params"], strict=True):
                if name_of(tokens) in measured:
                    parameters.skip_reading_prefix_cache = True
            return inner(requests, *args, **kwargs)

        with (
            self._recording(definition) as recording,
            listening_to(self._lm, encode=encode, generate=generate),
            before_cached(self._lm, recording.so_far, on_prompt),
        ):
            answers = list(self._lm.generate_until(list(requests)))
            hand_over(recording.results(), on_prompt)
        return answers

    def _as_sent(self, tokens: list[int], gen_kwargs: dict[str, Any]) -> tuple[list[int], int]:
        """A prompt as lm_eval's ``VLLM.generate_until`` cuts it, and how many of its tokens are its beginning."""
        lm = self._lm
        sent = as_sent(lm, tokens, gen_kwargs)
        if len(sent) == len(tokens):
            return sent, len(sent)
        return sent, {"right": len(sent), "middle": len(sent) // 2}.get(lm.truncation_side, 0)
