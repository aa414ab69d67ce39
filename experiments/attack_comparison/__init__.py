"""See __main__.py; for the benchmark: the attacks, the network they are made on, its evaluator, the other libraries."""

import os

if "IB_JAX_WORKER" not in os.environ:  # a worker of PyTorch has no need of JAX
    from experiments.attack_comparison.peers import NUM_LINEAR
    from experiments.attack_comparison.report import label
    from experiments.attack_comparison.run import AttackedModel, AttackEvaluator, Peers, load_model, train_model
    from experiments.attack_comparison.settings import (
        Comparison,
        ComparisonConfig,
        apgd,
        autoattack,
        carlini_wagner,
        comparisons,
        ddn,
        deepfool,
        fab_without_radius,
        fmn,
        hop_skip_jump,
        pgd,
        sigma_zero,
        square,
    )

__all__ = [
    "NUM_LINEAR",
    "AttackEvaluator",
    "AttackedModel",
    "Comparison",
    "ComparisonConfig",
    "Peers",
    "apgd",
    "autoattack",
    "carlini_wagner",
    "comparisons",
    "ddn",
    "deepfool",
    "fab_without_radius",
    "fmn",
    "hop_skip_jump",
    "label",
    "load_model",
    "pgd",
    "sigma_zero",
    "square",
    "train_model",
]
