"""The Python calls for people who do not run lm_eval."""

from __future__ import annotations

import subprocess
import sys
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
    assert (found.segments, found.window) == (len(long), 512)
    assert found.short_windows == sum(len(windows) for windows in documents) - len(long) > 0
    assert (found.within_stderr > 0).all() and len(found.correlation.pearson) == 3


@pytest.mark.parametrize("texts", [[], "one string"])
def test_measure_asks_for_a_sequence_of_texts(texts: object, tiny_llama: Path) -> None:
    with pytest.raises(ValueError, match="one a document"):
        lm_eval_dispersion.measure(None, None, texts)  # type: ignore[arg-type]


def test_every_public_name_is_there_and_importing_the_package_loads_none_of_them() -> None:
    for name in lm_eval_dispersion.__all__:
        assert getattr(lm_eval_dispersion, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lm_eval_dispersion.nothing  # noqa: B018
    code = "import sys, lm_eval_dispersion; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
