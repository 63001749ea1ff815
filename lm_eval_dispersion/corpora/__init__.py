"""Texts for the corpus tasks, as ``datasets`` objects; what a YAML's ``custom_dataset:`` names."""

from lm_eval_dispersion.corpora._demo import demo_code, demo_mmlu, demo_news, demo_wiki
from lm_eval_dispersion.corpora._hub import hub_files, hub_split
from lm_eval_dispersion.corpora._sample import SAMPLE_OPTIONS, selection
from lm_eval_dispersion.corpora._text import TEXT_OPTIONS, user_text

__all__ = [
    "SAMPLE_OPTIONS",
    "TEXT_OPTIONS",
    "demo_code",
    "demo_mmlu",
    "demo_news",
    "demo_wiki",
    "hub_files",
    "hub_split",
    "selection",
    "user_text",
]
