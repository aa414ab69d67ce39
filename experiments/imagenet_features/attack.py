"""What `experiments.imagenet_features` measures of a model, through the network to the pixels.

Every answer is given twice: by one sample of z, as the VUB paper infers, and by the mean softmax over many. The samples
are the same for every attack on an image. Images are read in blocks, so that a set need not fit into memory.
"""

import functools
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.carlini_wagner import carlini_wagner
from experiments.core.feature_fill import ImageSource
from experiments.core.keys import Name, stream
from experiments.imagenet_features import settings as names
from experiments.imagenet_features.settings import FeaturesConfig, Model
from ib_jax import attacks, data, evaluation, losses
from ib_jax.attacks.runner import ApplyFn
from ib_jax.types import Array, AttackResult, Params

_ORDER = 3  # seed of the order in which images are taken
_BLOCK = 1024  # images read at a time

Arrays = Mapping[str, np.ndarray]


class Victim(NamedTuple):
    """A model with its parameters, those of the network among them; its seed decides the noise of the attacks on it."""

    model: Model
    params: Params


class Measurer:
    """Every attack on models of one structure, compiled once: their parameters are an argument.

    Args:
      config: sizes and radii.
      apply_fn: (params, keys [B], images [B, S, S, 3] in [0, 1]) -> logits [B, C], at one sample of z.
      stochastic: whether there is noise to average over.
      source: evaluation images.
      num_images: the first of them are meant.
    """

    def __init__(
        self, config: FeaturesConfig, apply_fn: ApplyFn, *, stochastic: bool, source: ImageSource, num_images: int
    ):
        self._config, self._apply, self._stochastic, self._source = config, jax.jit(apply_fn), stochastic, source
        self._num_images = num_images
        order = np.random.default_rng(_ORDER).permutation(num_images)  # the same for every model
        self.small = order[: max(1, round(config.cw_share * num_images))]
        self.large = order[: max(len(self.small), config.num_fgsm_images or num_images)]
        samples = config.num_eot_samples if stochastic else 1
        # The attacks' own verdicts are not used, so one sample will do for them.
        eot: dict[str, Any] = {"num_eot_samples": samples, "num_judge_samples": 1}
        minimal: dict[str, Any] = {
            "num_steps": config.cw_steps,
            "num_binary_steps": config.cw_binary_steps,
            "learning_rate": config.cw_learning_rate,
            "initial_const": config.cw_initial_const,
        }
        made = {
            names.FGSM: attacks.fgsm(0.0, **eot),
            names.PGD: attacks.pgd(config.radius, num_steps=config.pgd_steps, **eot),
            names.SQUARE: attacks.square(config.radius, num_queries=config.num_queries, **eot),
            names.CW: carlini_wagner(**minimal, **eot),
        }
        if stochastic:
            made |= {names.FGSM_ONE: attacks.fgsm(0.0), names.CW_ONE: carlini_wagner(**minimal)}
        batch = config.attack_batch_size
        self._runners = {name: attacks.Runner(attack, self._apply, batch_size=batch) for name, attack in made.items()}
        averaged = config.num_eval_samples if stochastic else 1

        @jax.jit
        def predict(params: Params, keys: Array, images: Array) -> Array:
            sample_keys = losses.sample_keys(keys, averaged)
            logits = jax.vmap(functools.partial(apply_fn, params), (0, None))(sample_keys, images)
            return jnp.stack([*map(losses.predicted_class, (logits[0], losses.pooled_logits(logits)))], axis=-1)

        self._predict = predict

    @property
    def steps(self) -> list[tuple[str, float | None]]:
        """What is done to a model: attacks and their radii; a deterministic one is spared what would change nothing."""
        one = [names.FGSM_ONE] if self._stochastic else []
        found = [(attack, radius) for attack in [*one, names.FGSM] for radius in self._config.fgsm_epsilons]
        found += [(attack, self._config.radius) for attack in (names.PGD, names.TRANSFER, names.SQUARE)]
        return [*found, *((attack, None) for attack in ([names.CW_ONE] if self._stochastic else [])), (names.CW, None)]

    def measure(
        self,
        victim: Victim,
        transferred: Callable[[], np.ndarray],
        folder: pathlib.Path,
        report: Callable[[str], None] = lambda name: None,
    ) -> dict[str, Arrays]:
        """Attacks a model in every way; an attack whose file lies in the folder is not made again.

        Args:
          victim: the model.
          transferred: gives the images of `small` that were made on another model.
          folder: where the answers to each attack are kept.
          report: told the name of each attack that is done.

        Returns:
          By attack, such as `clean`, `fgsm_0.1` or `cw`: `rows` of the source, `labels`, the `answers` [n, 2] by one
          sample and by the mean, and for Carlini-Wagner the sizes `l2` and `linf` of the perturbations; of its search
          `success` and `blocked`, as of `AttackResult`; `seconds`.
        """
        found = {names.CLEAN: self._step(folder, names.CLEAN, lambda: self.answers(victim, self.large))}
        report(names.CLEAN)
        for attack, radius in self.steps:
            name = attack if radius is None else f"{attack}_{radius:g}"
            rows, targets = self._rows(attack, found[names.CLEAN])
            make = functools.partial(self._attack, victim, attack, radius, rows, targets, transferred)
            found[name] = self._step(folder, name, make)
            report(name)
        return found

    def answers(self, victim: Victim, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Answers to the images as they are."""
        return self._blocks(rows, lambda block, images, labels: {"answers": self._answers(victim, block, images)})

    def crafted(self, victim: Victim) -> np.ndarray:
        """The images of `small` as PGD makes them on a model, to be shown to another."""
        images, labels = self._read(self.small)
        return np.asarray(self._run(victim, names.PGD, None, self.small, images, labels, None).inputs)

    def _rows(self, attack: str, clean: Arrays) -> tuple[np.ndarray, int | None]:
        """Which images are attacked, and the target, which may be class 0 and is told from None by that.

        Carlini-Wagner is given the images that are rightly answered by the mean and not of the target class.
        """
        if attack not in names.MINIMAL:
            return (self.large if attack in (names.FGSM, names.FGSM_ONE) else self.small), None
        count, target = len(self.small), self._config.target
        labels, answers = clean["labels"][:count], clean["answers"][:count, 1]
        return self.small[(labels == answers) & (labels != target)], target

    def _attack(
        self,
        victim: Victim,
        attack: str,
        radius: float | None,
        rows: np.ndarray,
        target: int | None,
        transferred: Callable[[], np.ndarray],
    ) -> dict[str, np.ndarray]:
        if attack == names.TRANSFER:
            images = transferred()
            return self._blocks(rows, lambda *block: {}) | {"answers": self._answers(victim, rows, images)}

        def block(own: np.ndarray, images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
            result = self._run(victim, attack, radius, own, images, labels, target)
            perturbed, told = np.asarray(result.inputs), {"success": result.success, "blocked": result.blocked}
            answers = {"answers": self._answers(victim, own, perturbed)} | jax.tree.map(np.asarray, told)
            if attack not in names.MINIMAL:
                return answers
            difference = jnp.asarray(perturbed - images)
            return answers | {norm: np.asarray(losses.perturbation_norm(difference, norm)) for norm in ("l2", "linf")}

        return self._blocks(rows, block)

    def _run(
        self,
        victim: Victim,
        attack: str,
        radius: float | None,
        rows: np.ndarray,
        images: np.ndarray,
        labels: np.ndarray,
        target: int | None,
    ) -> AttackResult:
        runner = self._runners[attack]
        return evaluation.attack_in_chunks(
            lambda *args: runner(*args, epsilon=radius),
            victim.params,
            self._keys(victim, "attack", rows),
            jnp.asarray(images),
            jnp.asarray(labels),
            None if target is None else jnp.full(len(rows), target, jnp.int32),
            chunk_size=self._config.attack_batch_size,
        )

    def _blocks(self, rows: np.ndarray, make: Callable[..., dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        parts = []
        for first in range(0, max(1, len(rows)), _BLOCK):
            block = rows[first : first + _BLOCK]
            images, labels = self._read(block)
            parts.append({"rows": block, "labels": labels} | make(block, images, labels))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        split = self._source.read_rows(rows)
        return np.asarray(data.to_unit_interval(split.inputs)), split.labels

    def _keys(self, victim: Victim, name: Name, rows: np.ndarray) -> Array:
        """An image's keys do not depend on how many are attacked."""
        return losses.per_example_keys(stream(victim.model.seed, name), self._num_images)[rows]

    def _answers(self, victim: Victim, rows: np.ndarray, images: np.ndarray) -> np.ndarray:
        """int [n, 2], in batches of one size."""
        size, keys = self._config.attack_batch_size, self._keys(victim, "judge", rows)
        found = [np.empty((0, 2), np.int32)]
        for first in range(0, len(rows), size):
            batch = np.arange(first, first + size) % len(rows)  # filled up with others, whose answers are dropped
            found.append(np.asarray(self._predict(victim.params, keys[batch], images[batch]))[: len(rows) - first])
        return evaluation.decided(np.concatenate(found).T).T

    def _step(self, folder: pathlib.Path, name: str, make: Callable[[], dict[str, np.ndarray]]) -> Arrays:
        path = folder / f"{name}.npz"
        if not path.exists():
            start = time.monotonic()
            arrays = make() | {"seconds": np.array(time.monotonic() - start)}
            folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            with open(partial, "wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            partial.replace(path)
        with np.load(path) as arrays:
            return dict(arrays)
