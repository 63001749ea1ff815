"""Which models are not causal, by what their configuration says.

Where a model reads both ways, a token's state depends on what stands after it: on the rest of the text, and on the
padding of the batch. lm_eval's own numbers of such a model change with the batch size, and so would D.

Not recognised is code of a model's own that reads both ways and says so neither here nor by its attention's
``is_causal`` (``capture/_layers``), such as the prefix of the first ChatGLM. Nothing of a model is run to find out:
recording costs no forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of BERT's kind: encoders, whose attention is causal where `is_decoder` says so. Other models that have the setting
# (GPT-NeoX) do not heed it.
_ENCODERS = frozenset({
    "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert",
    "reformer", "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta",
    "xlm-roberta-xl", "xmod",
})  # fmt: skip
# How the model types of diffusion models begin, or a word of them; those with "diffusion" in their name besides.
_DIFFUSION = ("a2d", "bd3lm", "dllm", "dream", "llada", "mdlm", "rnd1", "sdar")
_TEXT_PARTS = ("text_config", "llm_config", "language_config")


def why_not_causal(config: Any, architecture: str = "") -> str | None:
    """Why a model is not causal, in a few words; None where nothing says that it is not.

    Args:
        config: a configuration of transformers, or what a ``config.json`` holds.
        architecture: the name of the model's class, where there is a model.
    """
    parts = [config, *(part for name in _TEXT_PARTS if (part := _get(config, name)) is not None)]
    return next((why for part in parts if (why := _why_not(part, architecture))), None)


def _why_not(config: Any, architecture: str) -> str | None:
    kind, names = str(_get(config, "model_type") or ""), [architecture, *_architectures(config)]
    if _get(config, "is_causal") is False:
        return "its configuration says is_causal=False"
    if (how := _get(config, "use_bidirectional_attention")) is True or how == "all":
        return f"its configuration says use_bidirectional_attention={how}"
    if kind in _ENCODERS:
        return None if _get(config, "is_decoder") is True else f"{kind} is an encoder without is_decoder=True"
    if kind == "xlnet" and _get(config, "attn_type") != "uni":
        return 'xlnet reads both ways without attn_type="uni"'
    if kind in ("flaubert", "xlm") and _get(config, "causal") is not True:
        return f"{kind} reads both ways without causal=True"
    if kind == "cpmant":
        return "cpmant reads its whole input both ways"
    words = kind.lower().replace("-", "_").split("_")
    if any(word.startswith(_DIFFUSION) for word in words) or any("diffusion" in n.lower() for n in (kind, *names)):
        return f"{kind or architecture} is a diffusion model"
    if masked := next((name for name in names if name.endswith("ForMaskedLM")), None):
        return f"{masked} predicts masked tokens"
    return None


def _get(config: Any, name: str) -> Any:
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)


def _architectures(config: Any) -> list[str]:
    named = _get(config, "architectures")
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
