"""The Python calls for people who do not run lm_eval."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import LEAST, document_windows, profile

import lm_eval_dispersion
from lm_eval_dispersion.corpora import demo_code, demo_news


def test_measure_gives_what_transformers_own_states_give(tiny_llama: Path) -> None:
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    texts = [*demo_news()["test"]["text"][:3], *demo_code()["test"]["text"][:2], "Two words."]
    found = lm_eval_dispersion.measure(model, tokenizer, texts, batch_size=2)

    lm = HFLM(pretrained=model, tokenizer=tokenizer)
    documents = [document_windows(lm, text, {tokenizer.eos_token_id}) for text in texts]
    long = [h for windows in documents for h, _, _ in windows if h.shape[1] >= LEAST]
    np.testing.assert_allclose(found.within, np.mean([profile(h) for h in long], axis=0), atol=1e-5)
    np.testing.assert_allclose(found.all_pairs, profile(torch.cat(long, dim=1)), atol=1e-5)
    np.testing.assert_allclose(found.across, profile(torch.stack([h[:, -1] for h in long], dim=1)), atol=1e-5)
    expected = [sum(loglikelihood for _, loglikelihood, _ in windows) for windows in documents]
    np.testing.assert_allclose(found.loglikelihoods, expected, rtol=1e-5)
    assert (found.segments, found.definition) == (len(long), lm_eval_dispersion.Definition())
    assert found.layers == [0, 1, 2]
    assert found.short_windows == sum(len(windows) for windows in documents) - len(long) > 0
    assert (found.within_stderr > 0).all() and len(found.correlation.pearson) == 3


def test_measure_leaves_model_and_tokenizer_as_they_were(tiny_llama: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_llama).train()
    model.model.layers[0].mlp.eval()  # a part that somebody froze
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.pad_token = None
    seen: list[int] = []
    handle = model.model.layers[1].register_forward_hook(lambda *_: seen.append(1))
    modes = {name: module.training for name, module in model.named_modules()}
    lm_eval_dispersion.measure(model, tokenizer, ["The printer on the third floor does not print. " * 20])
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert tokenizer.pad_token is None and seen
    assert handle.id in model.model.layers[1]._forward_hooks
    assert sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()) == 1


@pytest.mark.parametrize("kind", ["list", "tuple", "array", "series", "column"])
def test_texts_may_be_any_sequence_and_where_none_is_long_enough_numbers_are_undefined(
    kind: str, tiny_llama: Path
) -> None:
    import pandas as pd
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    texts = ["The printer on the third floor does not print. " * 20, "A short text."]
    made = {
        "list": list,
        "tuple": tuple,
        "array": np.array,
        "series": lambda given: pd.Series(given, index=[7, 3]),
        "column": lambda given: Dataset.from_dict({"text": given})["text"],
    }[kind]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_llama), AutoTokenizer.from_pretrained(tiny_llama)
    found = lm_eval_dispersion.measure(model, tokenizer, made(texts))
    assert found.segments == 1 and found.short_windows == 1 and np.isfinite(found.within).all()
    short = lm_eval_dispersion.measure(model, tokenizer, made(texts[1:]) if kind != "series" else pd.Series(texts[1:]))
    for name in ("within", "within_stderr", "across", "across_stderr", "all_pairs", "all_pairs_stderr"):
        assert getattr(short, name).shape == (3,) and np.isnan(getattr(short, name)).all()
    assert np.isnan(short.correlation.pearson).all() and len(short.correlation.pearson) == 3


@pytest.mark.parametrize("texts", [[], "one string", [b"bytes"], np.array([])])
def test_measure_asks_for_a_sequence_of_texts(texts: object, tiny_llama: Path) -> None:
    with pytest.raises(ValueError, match="one a document"):
        lm_eval_dispersion.measure(None, None, texts)  # type: ignore[arg-type]


def test_every_public_name_is_there_and_importing_the_package_loads_none_of_them() -> None:
    for name in lm_eval_dispersion.__all__:
        assert getattr(lm_eval_dispersion, name).__doc__
    # No submodule has the name of a function, which importing it would replace.
    import_module("lm_eval_dispersion._measure")
    assert callable(lm_eval_dispersion.measure) and lm_eval_dispersion.measure.__name__ == "measure"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lm_eval_dispersion.nothing  # noqa: B018
    code = "import sys, lm_eval_dispersion; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
