"""The settings of `experiments.carlini_wagner`, and the attacks that it compares."""

import dataclasses
import itertools
from typing import Any

from experiments.core import groups
from experiments.core.settings import EVALUATION, NOTHING, TRAINING, configure, setting
from experiments.mnist_vib import RECIPES
from ib_jax.evaluation import AttackSpec

__all__ = ("PRESETS", "StudyConfig")

_SMALL = {"betas": (1e-3, 1e-1), "num_seeds": 1, "samples": (1, 12), "confidences": (0.0, 5.0)}
_SMALL |= {"num_cw_images": 20, "cw_steps": 50, "cw_binary_steps": 3}
PRESETS = RECIPES | {
    name: dataclasses.replace(RECIPES[name], by_dataset={"digits": _SMALL}) for name in ("quick", "compare")
}


@configure(
    preset="compare",
    workdir="workdirs/carlini_wagner",
    betas=(1e-6, 1e-4, 1e-3, 1e-2, 1e-1),
    num_seeds=2,
    num_epochs=0,
    num_cw_images=200,
    choices={"dataset": ("digits", "mnist", "fashion_mnist")},
    paper={"dataset": "mnist", "num_epochs": 200, "num_eval_samples": 12, "num_seeds": 3, "num_cw_images": 1000},
    note={"betas": "1e-8 to 1e-1"},
    decides={"preset": TRAINING, "betas": NOTHING},
    least={"num_epochs": 0},
    help={
        "preset": "Recipe of every run, see mnist_vib --help.",
        "workdir": "Folder of the runs, such as vib_beta0.001_seed0; finished ones are used, unfinished ones resumed.",
        "betas": "A VIB for each.",
        "num_epochs": "Length of each run; 0 is the preset's.",
        "num_seeds": "Runs of each model, seeds 0, 1, ...",
        "num_eval_samples": "Fresh samples of z behind each answer.",
    },
)
class StudyConfig(
    groups.Recipe,
    groups.Workdir,
    groups.Results,
    groups.Dataset,
    groups.Betas,
    groups.Seeds,
    groups.Epochs,
    groups.CwImages,
    groups.CwSearch,
    groups.EvalSamples,
):
    """What is trained and attacked."""

    group = "Attacks"

    samples: tuple[int, ...] = setting(
        (1, 12, 40), "Samples of z in each gradient.", paper=(12,), least=1, distinct=True, decides=EVALUATION
    )
    confidences: tuple[float, ...] = setting(
        (0.0, 1.0, 2.0, 5.0),
        "By how much the wrong class must lead in the search; the attack's own default is tried as well.",
        unit="nats",
        paper=(0.0,),
        least=0,
        distinct=True,
        decides=EVALUATION,
    )


def plan(config: StudyConfig) -> list[AttackSpec]:
    """Every attack, in all its combinations; at the mean of z there is one answer, and nothing to average."""
    options: dict[str, Any] = {
        "const_per": "nat",
        "num_binary_steps": config.cw_binary_steps,
        "learning_rate": config.cw_learning_rate,
        "initial_const": config.cw_initial_const,
    }
    leads: list[dict[str, Any]] = [{"confidence": confidence} for confidence in config.confidences]
    found = []
    for samples, lead in itertools.product(config.samples, [*leads, {}]):
        for averaged in ("losses", "probabilities")[: 2 if samples > 1 else 1]:
            found.append(_spec(config, options | lead | {"expectation_of": averaged}, num_eot_samples=samples))
    found += [_spec(config, options | lead, at_mean=True) for lead in leads]
    # The paper's other half, with targets: where it is worst and with the default.
    ends = [{"confidence": config.confidences[0]}, {}]
    return found + [
        _spec(config, options | lead, num_eot_samples=samples, targeted=True)
        for samples, lead in itertools.product(sorted({1, min(12, max(config.samples))}), ends)
    ]


def _spec(config: StudyConfig, options: dict[str, Any], **settings: Any) -> AttackSpec:
    return AttackSpec(
        "carlini_wagner", num_steps=config.cw_steps, num_images=config.num_cw_images, options=options, **settings
    )


def trials(config: StudyConfig) -> dict[str, dict[str, Any]]:
    """By name the models that are attacked: the settings in which each differs from the recipe."""
    pairs = itertools.product(range(config.num_seeds), config.betas)
    common = {"objective": "vib", "num_attack_images": 0}
    return {f"vib_beta{beta:g}_seed{seed}": common | {"seed": seed, "beta": beta} for seed, beta in pairs}
