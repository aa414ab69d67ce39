"""Evaluate trained models on common corruptions, and on ImageNet-A and under attack, and draw Figure 3's panels.

For other experiments: the package imagecorruptions, and its speed.
"""

from experiments.corruptions.peer import Cores, images_per_second, missing

__all__ = ["Cores", "images_per_second", "missing"]
