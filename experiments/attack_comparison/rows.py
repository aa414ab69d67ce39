"""What `experiments.attack_comparison` compares: each attack with its settings here and in the other libraries."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from experiments.attack_comparison.settings import ComparisonConfig
from experiments.core.carlini_wagner import carlini_wagner
from ib_jax import attacks, losses

POINTS, AUTOATTACK_POINTS, LENGTH = 0.005, 0.003, 0.02
"""How much higher than another library's our robust accuracy may be, and how much larger our median perturbation."""

_LINF, _L2 = (0.05, 0.1), (1.0, 1.5)
_PGD_STEPS, _FEW_STEPS, _MANY_STEPS = 40, 10, 100
_NO_LIMIT = 1e3  # a radius for torchattacks' FAB, which keeps nothing beyond one


class Row(NamedTuple):
    """One attack, at one radius or with none.

    Attributes:
      group: of `settings.GROUPS`.
      name: for the table.
      norm: "linf" or "l2".
      epsilon: the radius; None for an attack that looks for the smallest perturbation.
      settings: by our names, the same on both sides.
      attack: ours, for a `Runner`.
      peers: settings by the other libraries' names.
      tolerance: how far ours may lag behind: a difference of robust accuracies, or a share of the median size.
    """

    group: str
    name: str
    norm: str
    epsilon: float | None
    settings: Mapping[str, Any]
    attack: Any
    peers: Mapping[str, Mapping[str, Any]]
    tolerance: float = POINTS


def rows(config: ComparisonConfig) -> list[Row]:
    """Everything that is compared, without what was not asked for."""
    made = [*_gradient_rows(), *_apgd_rows(), *_minimal_rows(config), *_fab_rows(), *_last_rows(config)]
    return [row for row in made if row.group in config.groups]


def _gradient_rows() -> list[Row]:
    made = [
        Row(
            *("fgsm", "FGSM", "linf", 0.1, {}, attacks.fgsm(0.1)),
            {"torchattacks.FGSM": {"eps": 0.1}, "foolbox.LinfFastGradientAttack": {"eps": 0.1}},
        )
    ]
    steps, length = _FEW_STEPS, 0.1 / _FEW_STEPS
    few: dict[str, Any] = {"num_steps": steps, "step_size": length}
    made += [
        Row(
            *("bim", f"BIM-{steps}", "linf", 0.1, few, attacks.bim(0.1, **few)),
            {
                "torchattacks.BIM": {"eps": 0.1, "alpha": length, "steps": steps},
                "foolbox.LinfPGD": {"eps": 0.1, "abs_stepsize": length, "steps": steps, "random_start": False},
            },
        ),
        Row(
            *("mi_fgsm", f"MI-FGSM-{steps}", "linf", 0.1, few | {"decay": 1.0}, attacks.mi_fgsm(0.1, **few)),
            {"torchattacks.MIFGSM": {"eps": 0.1, "alpha": length, "steps": steps, "decay": 1.0}},
        ),
    ]
    for norm, radii, suffix, peer in (("linf", _LINF, "", "Linf"), ("l2", _L2, "L2", "L2")):
        for epsilon in radii:
            steps, length = _PGD_STEPS, 2.5 * epsilon / _PGD_STEPS
            many: dict[str, Any] = {"num_steps": steps, "step_size": length, "random_start": True}
            theirs = {"eps": epsilon, "steps": steps, "random_start": True}
            made.append(
                Row(
                    *("pgd", f"PGD-{steps}", norm, epsilon, many, attacks.pgd(epsilon, norm=norm, **many)),
                    {
                        f"torchattacks.PGD{suffix}": theirs | {"alpha": length},
                        f"foolbox.{peer}PGD": theirs | {"abs_stepsize": length},
                    },
                )
            )
    return made


def _apgd_rows() -> list[Row]:
    ours, made = {"ce": losses.cross_entropy, "dlr": losses.dlr}, []
    for loss, epsilon in ((loss, epsilon) for loss in ours for epsilon in _LINF):
        settings: dict[str, Any] = {"num_steps": _MANY_STEPS}
        made.append(
            Row(
                *("apgd", f"APGD-{loss.upper()}", "linf", epsilon, settings),
                attacks.apgd(epsilon, loss_fn=ours[loss], **settings),
                {
                    "torchattacks.APGD": {"eps": epsilon, "steps": _MANY_STEPS, "loss": loss},
                    "pyautoattack.AutoAttack": _official(epsilon, attacks=[f"apgd-{loss}"], n_iter=_MANY_STEPS),
                },
            )
        )
    return made


def _minimal_rows(config: ComparisonConfig) -> list[Row]:
    cw: dict[str, Any] = {
        "num_steps": config.cw_steps,
        "num_binary_steps": config.cw_binary_steps,
        "learning_rate": config.cw_learning_rate,
        "initial_const": config.cw_initial_const,
    }
    their_cw = {
        "steps": config.cw_steps,
        "binary_search_steps": config.cw_binary_steps,
        "stepsize": config.cw_learning_rate,
        "initial_const": config.cw_initial_const,
    }
    deepfool: dict[str, Any] = {"num_steps": 50, "num_candidates": 10, "overshoot": 0.02}
    by_foolbox = {"steps": 50, "candidates": 10, "overshoot": 0.02}
    made = [
        Row(
            *("cw", name, "l2", None, cw | {"abort_early": early}),
            carlini_wagner(**cw, abort_early=early),
            {"foolbox.L2CarliniWagnerAttack": their_cw | {"abort_early": early}},
            LENGTH,
        )
        for name, early in (("Carlini-Wagner", True), ("Carlini-Wagner, all steps", False))
    ]
    made += [
        Row(
            *("deepfool", "DeepFool", "l2", None, deepfool, attacks.deepfool(**deepfool)),
            {"torchattacks.DeepFool": {"steps": 50, "overshoot": 0.02}, "foolbox.L2DeepFoolAttack": by_foolbox},
            LENGTH,
        ),
        Row(
            *("deepfool", "DeepFool", "linf", None, deepfool, attacks.deepfool(norm="linf", **deepfool)),
            {"foolbox.LinfDeepFoolAttack": by_foolbox},
            LENGTH,
        ),
    ]
    return made


def _fab_rows() -> list[Row]:
    settings: dict[str, Any] = {"num_steps": _MANY_STEPS}
    theirs = {"steps": _MANY_STEPS, "n_restarts": 1}
    made = [
        Row(
            *("fab", "FAB", "linf", 0.1, settings, attacks.fab(epsilon=0.1, **settings)),
            {
                "torchattacks.FAB": theirs | {"eps": 0.1},
                "pyautoattack.AutoAttack": _official(0.1, attacks=["fab"], n_iter=_MANY_STEPS),
            },
        )
    ]
    made += [
        Row(
            *("fab", "FAB", norm, None, settings, attacks.fab(norm=norm, **settings)),
            {"torchattacks.FAB": theirs | {"norm": peer, "eps": _NO_LIMIT}},
            LENGTH,
        )
        for norm, peer in (("linf", "Linf"), ("l2", "L2"))
    ]
    return made


def _last_rows(config: ComparisonConfig) -> list[Row]:
    queries: dict[str, Any] = {"num_queries": config.num_queries}
    blind = {"n_queries": config.num_queries, "p_init": 0.8, "loss": "margin", "resc_schedule": False}
    made = [
        Row(
            *("square", "Square", "linf", 0.1, queries, attacks.square(0.1, **queries)),
            {
                "torchattacks.Square": blind | {"eps": 0.1},
                "pyautoattack.AutoAttack": _official(0.1, attacks=["square"], n_queries=config.num_queries),
            },
        )
    ]
    whole = queries | {"num_steps": _MANY_STEPS, "version": "standard"}
    made += [
        Row(
            *("autoattack", "AutoAttack", "linf", epsilon, whole, attacks.autoattack(epsilon, **whole)),
            {"pyautoattack.AutoAttack": _official(epsilon, n_iter=_MANY_STEPS, n_queries=config.num_queries)},
            AUTOATTACK_POINTS,
        )
        for epsilon in _LINF
    ]
    return made


def _official(epsilon: float, **changes: Any) -> dict[str, Any]:
    return {"eps": epsilon, "norm": "Linf", "version": "standard"} | changes
