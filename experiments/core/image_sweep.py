"""Which image models are trained and measured together: an objective at several rhos, with seeds, and baselines."""

import dataclasses
import pathlib
from typing import Any

from experiments.core import groups
from experiments.core.adversary import NONE, PGD
from experiments.core.settings import NOTHING, configure, setting


@configure(
    paper={"num_seeds": 1},
    help={
        "num_seeds": "Models of each kind, with seeds --seed, --seed + 1, ...",
        "results": "Folder of records, and of what is made from them. Default: results/ in the workdir.",
    },
)
class RhoSweep(groups.Seeds, groups.Results):
    """Which models there are."""

    group = "Sweep"

    rhos: tuple[float, ...] = setting(
        (), "The objective at each of these; none: at --rho alone.", distinct=True, linear=True, decides=NOTHING
    )
    baseline: bool = setting(
        True, "Train cross-entropy beside a bottleneck; the transfer attack needs it.", decides=NOTHING
    )

    def against_pgd(self, config: Any) -> list[dict[str, Any]]:
        """Cross-entropy trained against PGD: the settings of each such network that are not `config`'s."""
        return []


def configs(config: Any, sweep: RhoSweep, workdir: pathlib.Path) -> list[Any]:
    """The settings of every model, each with its workdir."""
    adversarial = sweep.against_pgd(config)
    if not (sweep.rhos or sweep.baseline or adversarial or sweep.num_seeds > 1):
        return [dataclasses.replace(config, workdir=str(workdir))]
    plain: dict[str, Any] = {"objective": "cross_entropy"}
    known = plain | ({"adversary": NONE} if hasattr(config, "adversary") else {})
    kinds: list[dict[str, Any]] = [known] if sweep.baseline else []
    kinds += [plain | {"adversary": PGD} | own for own in adversarial]
    kinds += [{"rho": rho} for rho in sweep.rhos or (config.rho,)]
    every = [
        dataclasses.replace(config, **own, seed=seed)
        for seed in range(config.seed, config.seed + sweep.num_seeds)
        for own in kinds
    ]
    placed = [dataclasses.replace(own, workdir=str(workdir / f"{own.name}_seed{own.seed}")) for own in every]
    return list({own.workdir: own for own in placed}.values())  # the objective may be cross-entropy itself
