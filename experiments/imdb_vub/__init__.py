"""Bottleneck heads on a frozen text encoder, attacked with DeepWordBug and PWWS."""

from experiments.imdb_vub.encoder import TextEncoder, features_of_texts, load_encoder
from experiments.imdb_vub.features import HOLD_OUT_SEED, encoder_for, load_texts
from experiments.imdb_vub.page import AttackedTexts, write_page

__all__ = [
    "HOLD_OUT_SEED",
    "AttackedTexts",
    "TextEncoder",
    "encoder_for",
    "features_of_texts",
    "load_encoder",
    "load_texts",
    "write_page",
]
