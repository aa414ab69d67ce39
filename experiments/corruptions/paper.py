"""Table 1 of the CEB paper, as far as its text can be read: errors in per cent, by network and objective.

Source: Fischer and Alemi, CEB Improves Model Robustness, 2020, Table 1. "-aa" is without AutoAugment, "x2" twice as
wide. Kept are the rows that are whole, ImageNet-A and PGD, and elsewhere cells that hold one number in a row of one
name, or clean error and mCE together. Left out: all of ResNet152x2 cCEB, whose first digits are torn off; defocus,
glass and motion blur, pixelate and JPEG, whose rows run into each other; fog, whose row has no name; every cell that is
empty in the text, and rho* where it is not legible.
"""

Key = tuple[str, str]
"""Network and objective."""

RHO: dict[Key, int] = {
    ("ResNet152x2", "ceb"): 2,
    ("ResNet152", "ceb"): 3,
    ("ResNet152-aa", "ceb"): 3,
    ("ResNet50x2", "ceb"): 3,
}
"""rho*, the one of the least clean error."""

_WHOLE = ("imagenet_a", "pgd_l2", "pgd_linf")
_CELLS = """
ResNet152x2  ceb            83.7 80.4 80.3  clean 19.3 elastic_transform 47.6
ResNet152x2  cross_entropy  86.2 99.9 99.3
ResNet152    ceb            87.6 85.0 85.1  clean 19.9 mce 62.9 zoom_blur 58.8 frost 54.6 brightness 28.2 contrast 51.1
          elastic_transform 49.4
ResNet152    cross_entropy  87.9 99.9 99.4
ResNet152-aa ceb            91.6 84.1 83.9
ResNet152-aa cross_entropy  93.4 99.9 99.5
ResNet50x2   consistent_ceb 87.5 95.7 95.5  clean 20.0 mce 65.5 average 51.9 shot_noise 53.8 impulse_noise 59.2
          zoom_blur 60.0 snow 61.4 brightness 28.2 contrast 52.3 elastic_transform 51.3
ResNet50x2   ceb            88.8 99.4 99.5  snow 61.6 brightness 28.8 elastic_transform 51.4
ResNet50x2   cross_entropy  90.5 99.9 99.9
ResNet50     ceb            92.2 99.7 99.8  clean 21.9 mce 70.4 zoom_blur 63.6 snow 65.4 frost 59.8 brightness 31.0
          elastic_transform 54.3
ResNet50     cross_entropy  93.3 99.9 99.9  gaussian_noise 59.8 shot_noise 60.2 impulse_noise 66.4 zoom_blur 65.2
          snow 68.3 brightness 31.8 elastic_transform 55.8
ResNet50-aa  ceb            94.9 99.4 99.4  clean 22.8 mce 77.7 average 61.5 gaussian_noise 65.4 frost 65.3
          contrast 65.4
ResNet50-aa  cross_entropy  96.8 99.9 99.9  clean 24.0 gaussian_noise 71.3 impulse_noise 76.8 snow 74.5 frost 68.3
          brightness 36.4
"""


def _read(text: str) -> dict[Key, dict[str, float]]:
    table: dict[Key, dict[str, float]] = {}
    for line in text.replace("\n   ", " ").strip().splitlines():
        network, objective, *cells = line.split()
        named = [*(word for pair in zip(_WHOLE, cells[:3], strict=True) for word in pair), *cells[3:]]
        table[network, objective] = dict(zip(named[::2], map(float, named[1::2]), strict=True))
    return table


TABLE = _read(_CELLS)
"""Rows: clean, mce, average, the corruptions, imagenet_a, pgd_l2 and pgd_linf (random target, epsilon 16, 20 steps)."""
