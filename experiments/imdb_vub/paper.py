"""Table 2 of the VUB paper (Weingarten et al. 2024, arXiv 2402.07639): IMDB, in %, mean and deviation of five runs."""

PAPER = {
    ("cross_entropy", None): {"test": (93.0, 0.0), "deep_word_bug": (54.3, 0.0), "pwws": (100.0, 0.0)},
    ("vib", 1e-3): {"test": (91.0, 1.0), "deep_word_bug": (35.1, 4.4), "pwws": (41.6, 6.6)},
    ("vib", 1e-2): {"test": (90.8, 0.5), "deep_word_bug": (41.0, 4.8), "pwws": (62.9, 14.3)},
    ("vib", 1e-1): {"test": (89.4, 0.9), "deep_word_bug": (90.0, 8.0), "pwws": (99.1, 0.9)},
    ("vub", 1e-3): {"test": (93.2, 0.5), "deep_word_bug": (27.5, 2.0), "pwws": (28.4, 1.3)},
    ("vub", 1e-2): {"test": (92.6, 0.8), "deep_word_bug": (30.8, 2.0), "pwws": (50.0, 4.8)},
    ("vub", 1e-1): {"test": (89.2, 2.0), "deep_word_bug": (99.2, 0.5), "pwws": (100.0, 0.0)},
}
"""By objective and beta. The deterministic model's has no deviation."""
