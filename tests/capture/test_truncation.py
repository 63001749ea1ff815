"""Of a prompt that was cut, the prefix counts nowhere if its beginning is still there; what stands elsewhere counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from models import END, save_tiny_llama
from reference import profile, states
from tokenizers import processors
from transformers import AutoTokenizer

from lm_eval_dispersion import Definition
from lm_eval_dispersion.capture import Owner, Reduced, Sums, capture_for

MOST, NEW = 40, 4
TEXT = "river stone winter market garden signal copper window harvest letter mountain engine"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokenizer puts a BOS in front and cuts at 40 tokens."""
    folder = save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.bos_token, tokenizer.model_max_length = END, MOST
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", special_tokens=[(END, tokenizer.eos_token_id)]
    )
    tokenizer.save_pretrained(folder)
    return folder


def generated(lm: HFLM, prompts: list[str]) -> dict[int, Reduced]:
    settings = {"until": [], "max_gen_toks": NEW, "do_sample": False}
    made = [Instance("generate_until", {}, (text, settings), 0, ("a task", i, 1)) for i, text in enumerate(prompts)]
    found: dict[int, Reduced] = {}
    sums = Sums()
    owners = {i: Owner(sums, i) for i in range(len(made))}
    capture_for(lm).generate_until(made, owners, found.__setitem__, Definition())
    return found


def assert_measured(lm: HFLM, reduced: Reduced, tokens: list[int], skip: int, cut: bool) -> None:
    vectors = states(lm.model, tokens)[:, skip:]
    assert (reduced.vectors, reduced.truncated) == (vectors.shape[1], cut)
    np.testing.assert_allclose(reduced.dispersion, profile(vectors), atol=1e-5)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_tokenizer_keeps_the_prefix_that_it_adds(folder: Path, side: str) -> None:
    lm = HFLM(str(folder), device="cpu", dtype="float32", truncation=True, batch_size=3)
    lm.tokenizer.truncation_side = side
    long, short = " ".join([TEXT] * 6), "a short one"
    found = generated(lm, [long, short, f"{long} {short}"])
    for i, text in enumerate((long, short, f"{long} {short}")):
        tokens = lm.tokenizer.encode(text, truncation=True)
        assert len(tokens) == MOST or i == 1
        assert tokens[0] == lm.tokenizer.bos_token_id
        assert_measured(lm, found[i], tokens, skip=1, cut=i != 1)


def test_a_token_that_leads_by_chance_after_a_cut_at_the_left_counts(folder: Path) -> None:
    """The end of a text in the middle of the prompt is where lm_eval cuts."""
    lm = HFLM(str(folder), device="cpu", dtype="float32", max_length=MOST)
    kept = lm.tokenizer.encode(" ".join([TEXT] * 6), add_special_tokens=False)[: MOST - NEW - 1]
    text = f"river stone{END}{lm.tokenizer.decode(kept)}"
    tokens = lm.tokenizer.encode(text)[-(MOST - NEW) :]
    assert tokens[0] == lm.tokenizer.bos_token_id == lm.tokenizer.encode(text)[0]
    assert_measured(lm, generated(lm, [text])[0], tokens, skip=0, cut=True)


def test_what_the_tokenizer_keeps_lm_eval_may_still_cut(folder: Path) -> None:
    lm = HFLM(str(folder), device="cpu", dtype="float32", max_length=MOST // 2, truncation=True)
    text = " ".join([TEXT] * 6)
    tokens = lm.tokenizer.encode(text, truncation=True)[-(MOST // 2 - NEW) :]
    assert_measured(lm, generated(lm, [text])[0], tokens, skip=0, cut=True)


def test_a_prompt_that_fits_loses_its_prefix_alone(folder: Path) -> None:
    lm = HFLM(str(folder), device="cpu", dtype="float32", max_length=MOST)
    tokens = lm.tokenizer.encode(TEXT)
    assert_measured(lm, generated(lm, [TEXT])[0], tokens, skip=1, cut=False)
