"""The real vLLM engine, and its D against transformers' own hidden states."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval.api.instance import Instance
from models import save_tiny_llama
from reference import document_windows, profile

from lm_eval_dispersion import Definition
from lm_eval_dispersion.capture import Owner, Reduced, Sums, Window, capture_for
from lm_eval_dispersion.corpora import demo_news
from lm_eval_dispersion.geometry import Vectors

ALL = "lm_eval_dispersion.capture.all_layers.AllLayers"


MACHINE = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
"""What an engine may use: a GiB, and whatever core is free."""


@contextmanager
def heard() -> Iterator[list[logging.LogRecord]]:
    """What is said to the user inside. Not pytest's ``caplog``: lm_eval keeps its lines from the root logger."""
    records: list[logging.LogRecord] = []
    logger, handler = logging.getLogger("lm_eval.dispersion"), logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield records
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


@contextmanager
def engine(folder: Path, *, apart: bool = False, **arguments: Any) -> Iterator[Any]:
    """lm_eval's ``VLLM`` on a model's folder, in float32 and eager unless told otherwise.

    By itself vLLM runs its engine and each worker in a process of its own (``apart``), which import everything again:
    most of the time an engine takes. Within this process it is the same engine.
    """
    from lm_eval.models.vllm_causallms import VLLM
    from vllm.distributed import cleanup_dist_env_and_memory

    if not apart:
        arguments["distributed_executor_backend"] = "uni"
    settings = {"dtype": "float32", "max_model_len": 1024, "enforce_eager": True, "worker_extension_cls": ALL}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "set_num_threads", torch.set_num_threads)  # a worker replaces it
        for name, value in {**MACHINE, "VLLM_ENABLE_V1_MULTIPROCESSING": str(int(apart))}.items():
            patch.setenv(name, value)
        lm = VLLM(pretrained=str(folder), **settings | arguments)
        try:
            yield lm
        finally:
            lm.model.llm_engine.engine_core.shutdown()
            cleanup_dist_env_and_memory()


def save_small(folder: Path, **config: Any) -> Path:
    """A tiny Llama that vLLM can run: on the CPU, its attention has heads of 32 components and more."""
    shape = {"hidden_size": 128, "intermediate_size": 128, "num_attention_heads": 2, "num_key_value_heads": 2}
    return save_tiny_llama(folder, **shape | config)


def news() -> list[str]:
    """Of one and of several windows, and one too short to have a D."""
    texts = [row["text"] for row in islice(demo_news()["test"], 12)]
    return [*texts[:3], " ".join(texts[3:9]), texts[9][:150]]


def requests(kind: str, arguments: list[tuple[Any, ...]]) -> list[Instance]:
    """lm_eval's, of one document each."""
    return [Instance(kind, {}, a, 0, ("a task", i, 1)) for i, a in enumerate(arguments)]


def prompted(run: Callable[..., Any], made: list[Instance]) -> tuple[list[Any], dict[int, Reduced], Sums]:
    """Records every request's prompt."""
    found: dict[int, Reduced] = {}
    sums = Sums(vectors=Vectors())
    owners = {i: Owner(sums, request.doc_id) for i, request in enumerate(made)}
    answers = run(made, owners, found.__setitem__, Definition())
    return answers, found, sums


def rolled(lm: Any, texts: list[str]) -> tuple[list[float], dict[int, list[Window]], Sums]:
    """Records every window."""
    found: dict[int, list[Window]] = {}
    sums = Sums()
    made = requests("loglikelihood_rolling", [(text,) for text in texts])
    owners = {i: Owner(sums, i) for i in range(len(texts))}
    capture, definition = capture_for(lm), Definition()
    definition = definition.cut_at(capture.limit)
    answers = capture.loglikelihood_rolling(made, owners, lambda i, w: found.setdefault(i, []).append(w), definition)
    return answers, found, sums


def windows_of(model: Any, lm: Any, text: str) -> list[tuple[torch.Tensor, float, int]]:
    """Of a text, by transformers."""
    plain = SimpleNamespace(model=model, max_length=512, prefix_token_id=lm.prefix_token_id, tok_encode=lm.tok_encode)
    return document_windows(plain, text, {lm.eot_token_id, lm.tokenizer.bos_token_id})


def agree(model: Any, lm: Any, texts: list[str], within: float, nats: float, layers: slice) -> int:
    """Compares every window, and D across them; says how many had a D."""
    answers, found, sums = rolled(lm, texts)
    measured = []
    for i, text in enumerate(texts):
        expected = windows_of(model, lm, text)
        assert [w.tokens for w in found[i]] == [tokens for _, _, tokens in expected]
        assert [w.vectors for w in found[i]] == [vectors.shape[1] for vectors, _, _ in expected]
        assert answers[i] == pytest.approx(sum(w.loglikelihood for w in found[i]))
        for window, (vectors, loglikelihood, tokens) in zip(found[i], expected, strict=True):
            assert window.loglikelihood == pytest.approx(loglikelihood, abs=nats * tokens)
            assert (window.reduced is None) == (window.vectors < 64)
            if window.reduced is not None:
                measured.append(vectors[layers])
                np.testing.assert_allclose(window.reduced.dispersion, profile(vectors[layers]), atol=within, rtol=0)
    across, every = torch.stack([h[:, -1] for h in measured], 1), torch.cat(measured, 1)
    for pairs, vectors in ((sums.across, across), (sums.all_pairs, every)):
        assert pairs.count.tolist() == [vectors.shape[1]] * len(vectors)
        np.testing.assert_allclose(pairs.dispersion()[0], profile(vectors), atol=within, rtol=0)
    return len(measured)
