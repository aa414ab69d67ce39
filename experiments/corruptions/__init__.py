"""See __main__.py; for other experiments: the package imagecorruptions, made to run."""

from experiments.corruptions.peer import Cores, corrupt, images_per_second, load, missing

__all__ = ["Cores", "corrupt", "images_per_second", "load", "missing"]
