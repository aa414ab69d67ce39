"""The numbers of Tables 1, 2 and 3 of the paper, in per cent but for I(X';T'), whose unit it does not give."""

FGSM, BIM, PGD, DEEPFOOL, CW = "FGSM", "BIM", "PGD", "DeepFool", "CW"

INFORMATION = {  # by beta, and whether trained against the attack of the column
    (1e-1, False): {FGSM: 90.56, BIM: 17.80, PGD: 17.78},
    (1e-1, True): {FGSM: 5.22, BIM: 5.05, PGD: 5.04},
    (1e-2, False): {FGSM: 62.39, BIM: 22.24, PGD: 21.78},
    (1e-2, True): {FGSM: 10.73, BIM: 9.23, PGD: 9.11},
    (1e-3, False): {FGSM: 32.70, BIM: 21.91, PGD: 23.66},
    (1e-3, True): {FGSM: 25.88, BIM: 19.26, PGD: 18.42},
}
"""Table 1, above: I(X';T') at radius 0.3, MNIST."""

ACCURACY = {
    (1e-1, False): {FGSM: 70.96, BIM: 72.84, PGD: 74.92},
    (1e-1, True): {FGSM: 91.43, BIM: 87.34, PGD: 86.75},
    (1e-2, False): {FGSM: 68.86, BIM: 66.46, PGD: 66.67},
    (1e-2, True): {FGSM: 91.86, BIM: 90.08, PGD: 89.78},
    (1e-3, False): {FGSM: 59.87, BIM: 59.88, PGD: 57.97},
    (1e-3, True): {FGSM: 91.54, BIM: 89.59, PGD: 89.88},
}
"""Table 1, below: accuracy at radius 0.3, MNIST."""

COLUMNS: tuple[tuple[str, float | None], ...] = (
    ("clean", None),
    (FGSM, 0.1),
    (FGSM, 0.3),
    (FGSM, 0.5),
    (DEEPFOOL, None),
    (CW, None),
    (BIM, 0.2),
    (PGD, 0.2),
)
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


def first_table(attack: str) -> dict[tuple[str, float, bool], float]:
    """A column of Table 1, by metric, beta, and whether trained against the attack."""
    tables = {"rate_bits": INFORMATION, "accuracy": ACCURACY}
    return {(metric, *key): row[attack] for metric, table in tables.items() for key, row in table.items()}
