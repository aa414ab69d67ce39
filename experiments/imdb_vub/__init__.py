"""See __main__.py; for other experiments on text: texts, encoders, settings, and the page of adversarial texts."""

from experiments.imdb_vub.encoder import (
    HOLD_OUT_SEED,
    TextEncoder,
    encoder_for,
    features_of_texts,
    load_encoder,
    load_texts,
)
from experiments.imdb_vub.page import AttackedTexts, write_page
from experiments.imdb_vub.settings import BOTTLENECKS, ERRORS, IMDB, TOY, VANILLA, EncoderSettings, TextSource

__all__ = [
    "BOTTLENECKS",
    "ERRORS",
    "HOLD_OUT_SEED",
    "IMDB",
    "TOY",
    "VANILLA",
    "AttackedTexts",
    "EncoderSettings",
    "TextEncoder",
    "TextSource",
    "encoder_for",
    "features_of_texts",
    "load_encoder",
    "load_texts",
    "write_page",
]
