"""Compare every attack with the same one in torchattacks, foolbox and pyautoattack, on the same weights."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.attack_comparison.model import AttackedModel, AttackEvaluator, load_model, train_model
    from experiments.attack_comparison.peers import Peers
    from experiments.attack_comparison.settings import Comparison, carlini_wagner, deepfool, pgd

__all__ = [
    "AttackEvaluator",
    "AttackedModel",
    "Comparison",
    "Peers",
    "carlini_wagner",
    "deepfool",
    "load_model",
    "pgd",
    "train_model",
]


def __getattr__(name: str) -> Any:
    """Imports what is asked for, and not before: a worker of PyTorch has no need of JAX."""
    if name in __all__:
        for module in ("peers", "settings", "model"):
            found = importlib.import_module(f"{__name__}.{module}")
            if name in vars(found):
                return vars(found)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
