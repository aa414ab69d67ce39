"""Table 1 of the CEB paper, as far as its text can be read: errors in per cent, by network and objective.

Source: Fischer and Alemi, CEB Improves Model Robustness, 2020, Table 1. "-aa" is without AutoAugment, "x2" twice as
wide. Kept are the rows that are whole, ImageNet-A and PGD, and elsewhere cells that hold one number in a row of one
name, or clean error and mCE together. Left out: all of ResNet152x2 cCEB, whose first digits are torn off; defocus,
glass and motion blur, pixelate and JPEG, whose rows run into each other; fog, whose row has no name; every cell that is
empty in the text, and rho* where it is not legible.
"""

Key = tuple[str, str]
"""Network and objective."""

COLUMNS: tuple[Key, ...] = (
    ("ResNet152x2", "ceb"),
    ("ResNet152x2", "cross_entropy"),
    ("ResNet152", "ceb"),
    ("ResNet152", "cross_entropy"),
    ("ResNet152-aa", "ceb"),
    ("ResNet152-aa", "cross_entropy"),
    ("ResNet50x2", "consistent_ceb"),
    ("ResNet50x2", "ceb"),
    ("ResNet50x2", "cross_entropy"),
    ("ResNet50", "ceb"),
    ("ResNet50", "cross_entropy"),
    ("ResNet50-aa", "ceb"),
    ("ResNet50-aa", "cross_entropy"),
)

RHO = {
    ("ResNet152x2", "ceb"): 2,
    ("ResNet152", "ceb"): 3,
    ("ResNet152-aa", "ceb"): 3,
    ("ResNet50x2", "ceb"): 3,
}
"""rho*, the one of the least clean error."""

_WHOLE = {
    "imagenet_a": (83.7, 86.2, 87.6, 87.9, 91.6, 93.4, 87.5, 88.8, 90.5, 92.2, 93.3, 94.9, 96.8),
    "pgd_l2": (80.4, 99.9, 85.0, 99.9, 84.1, 99.9, 95.7, 99.4, 99.9, 99.7, 99.9, 99.4, 99.9),
    "pgd_linf": (80.3, 99.3, 85.1, 99.4, 83.9, 99.5, 95.5, 99.5, 99.9, 99.8, 99.9, 99.4, 99.9),
}

_CELLS: dict[Key, dict[str, float]] = {
    ("ResNet152x2", "ceb"): {"clean": 19.3, "elastic_transform": 47.6},
    ("ResNet152", "ceb"): {
        "clean": 19.9,
        "mce": 62.9,
        "zoom_blur": 58.8,
        "frost": 54.6,
        "brightness": 28.2,
        "contrast": 51.1,
        "elastic_transform": 49.4,
    },
    ("ResNet50x2", "consistent_ceb"): {
        "clean": 20.0,
        "mce": 65.5,
        "average": 51.9,
        "shot_noise": 53.8,
        "impulse_noise": 59.2,
        "zoom_blur": 60.0,
        "snow": 61.4,
        "brightness": 28.2,
        "contrast": 52.3,
        "elastic_transform": 51.3,
    },
    ("ResNet50x2", "ceb"): {"snow": 61.6, "brightness": 28.8, "elastic_transform": 51.4},
    ("ResNet50", "ceb"): {
        "clean": 21.9,
        "mce": 70.4,
        "zoom_blur": 63.6,
        "snow": 65.4,
        "frost": 59.8,
        "brightness": 31.0,
        "elastic_transform": 54.3,
    },
    ("ResNet50", "cross_entropy"): {
        "gaussian_noise": 59.8,
        "shot_noise": 60.2,
        "impulse_noise": 66.4,
        "zoom_blur": 65.2,
        "snow": 68.3,
        "brightness": 31.8,
        "elastic_transform": 55.8,
    },
    ("ResNet50-aa", "ceb"): {
        "clean": 22.8,
        "mce": 77.7,
        "average": 61.5,
        "gaussian_noise": 65.4,
        "frost": 65.3,
        "contrast": 65.4,
    },
    ("ResNet50-aa", "cross_entropy"): {
        "clean": 24.0,
        "gaussian_noise": 71.3,
        "impulse_noise": 76.8,
        "snow": 74.5,
        "frost": 68.3,
        "brightness": 36.4,
    },
}

TABLE: dict[Key, dict[str, float]] = {
    key: _CELLS.get(key, {}) | {row: values[index] for row, values in _WHOLE.items()}
    for index, key in enumerate(COLUMNS)
}
"""Rows: clean, mce, average, the corruptions, imagenet_a, pgd_l2 and pgd_linf (random target, epsilon 16, 20 steps)."""
