"""The numbers of Tables 1, 2 and 3 of the paper, in per cent but for I(X';T'), whose unit it does not give."""

RADIUS, BETA = 0.3, 1e-3
"""Of Table 1, and of training against FGSM; of Tables 2 and 3."""
ATTACKS = {"fgsm": "FGSM", "bim": "BIM", "pgd": "PGD"}
"""Those of Table 1, which models are also trained against."""

BETAS = {
    ("rate_bits", 1e-1, False): (90.56, 17.80, 17.78),
    ("rate_bits", 1e-1, True): (5.22, 5.05, 5.04),
    ("rate_bits", 1e-2, False): (62.39, 22.24, 21.78),
    ("rate_bits", 1e-2, True): (10.73, 9.23, 9.11),
    ("rate_bits", 1e-3, False): (32.70, 21.91, 23.66),
    ("rate_bits", 1e-3, True): (25.88, 19.26, 18.42),
    ("accuracy", 1e-1, False): (70.96, 72.84, 74.92),
    ("accuracy", 1e-1, True): (91.43, 87.34, 86.75),
    ("accuracy", 1e-2, False): (68.86, 66.46, 66.67),
    ("accuracy", 1e-2, True): (91.86, 90.08, 89.78),
    ("accuracy", 1e-3, False): (59.87, 59.88, 57.97),
    ("accuracy", 1e-3, True): (91.54, 89.59, 89.88),
}
"""Table 1, under `ATTACKS` at radius 0.3 on MNIST, by metric, beta, and whether trained against the attack."""

COLUMNS: dict[str, tuple[str, float] | tuple[str]] = {
    "clean": ("clean",),
    "FGSM 0.1": ("fgsm", 0.1),
    "FGSM 0.3": ("fgsm", 0.3),
    "FGSM 0.5": ("fgsm", 0.5),
    "DeepFool": ("deepfool",),
    "CW": ("carlini_wagner",),
    "BIM 0.2": ("bim", 0.2),
    "PGD 0.2": ("pgd", 0.2),
}
"""Attack and radius of the columns of Tables 2 and 3."""

OBJECTIVES = {
    "mnist": {
        ("vib", "none"): (98.64, 85.88, 62.94, 40.63, 34.53, 53.30, 58.41, 51.79),
        ("cross_entropy", "none"): (98.63, 63.39, 1.38, 1.04, 1.79, 18.33, 2.18, 2.12),
        ("vib", "fgsm"): (98.53, 92.13, 90.43, 55.27, 43.08, 49.69, 58.97, 56.65),
        ("cross_entropy", "fgsm"): (97.94, 78.95, 89.73, 50.33, 2.54, 16.81, 21.82, 21.36),
    },
    "cifar10": {
        ("vib", "none"): (67.06, 34.92, 20.15, 14.73, 23.47, 21.37, 19.06, 20.04),
        ("cross_entropy", "none"): (65.39, 17.33, 12.23, 10.35, 18.5, 11.63, 18.67, 18.19),
        ("vib", "fgsm"): (63.14, 44.48, 58.64, 56.28, 26.64, 13.20, 21.52, 22.86),
        ("cross_entropy", "fgsm"): (61.67, 29.4, 57.04, 48.44, 21.79, 11.65, 19.69, 19.78),
    },
}
"""Tables 2 (MNIST) and 3 (CIFAR-10), by objective and adversary, beta = 1e-3."""
