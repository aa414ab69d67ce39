"""Which numbers of a record's frame are meant, and the paper's beside them."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core.frames import values_by_model, where
from experiments.imdb_vub.settings import VANILLA

if TYPE_CHECKING:
    import pandas as pd

PAPERS = "paper"
"""The condition `procedure` of what was measured by the paper's protocol; what was by ours has none."""
NAMES = {VANILLA: "vanilla", "vib": "VIB", "vub": "VUB", "ceb": "CEB"}
ATTACKS = {"deep_word_bug": "DeepWordBug", "pwws": "PWWS"}
TABLE_2 = {
    (VANILLA, None): {"clean": "93", "deep_word_bug": "54.3", "pwws": "100"},
    ("vib", 1e-3): {"clean": "91 ± 1", "deep_word_bug": "35.1 ± 4.4", "pwws": "41.6 ± 6.6"},
    ("vib", 1e-2): {"clean": "90.8 ± 0.5", "deep_word_bug": "41 ± 4.8", "pwws": "62.9 ± 14.3"},
    ("vib", 1e-1): {"clean": "89.4 ± 0.9", "deep_word_bug": "90 ± 8", "pwws": "99.1 ± 0.9"},
    ("vub", 1e-3): {"clean": "93.2 ± 0.5", "deep_word_bug": "27.5 ± 2", "pwws": "28.4 ± 1.3"},
    ("vub", 1e-2): {"clean": "92.6 ± 0.8", "deep_word_bug": "30.8 ± 2", "pwws": "50 ± 4.8"},
    ("vub", 1e-1): {"clean": "89.2 ± 2", "deep_word_bug": "99.2 ± 0.5", "pwws": "100"},
}
"""By objective and beta in %: accuracy, and success of the attacks; mean and deviation of five runs on IMDB."""


def has(frame: Any, attack: str, procedure: str | None = None) -> bool:
    """Whether models were attacked so."""
    return not where(frame, attack=attack, procedure=procedure).empty


def by_ours(frame: "pd.DataFrame", attack: str) -> dict[str, Any]:
    """An attack on a head itself by our protocol, judged on the mean of samples."""
    most = frame["num_judge_samples"].max()
    return {"attack": attack, "source": None, "procedure": None, "num_judge_samples": most}


def by_papers(attack: str, num_judge_samples: int = 0) -> dict[str, Any]:
    """An attack by the paper's protocol, as its search says or as fresh samples do."""
    return {"attack": attack, "procedure": PAPERS, "num_judge_samples": num_judge_samples}


def accuracy(part: "pd.DataFrame", split: str = "test", answer: str = "one") -> np.ndarray:
    """Of each model, by `one` sample of z or by `avg`, the mean of several."""
    return 1 - values_by_model(part, f"error_{answer}", {"split": split})[1]
