"""Every attack on both sides, from several starts: the network, the other libraries, and who judges what comes back."""

import collections
import pathlib
import tempfile
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.attack_comparison import peers, report
from experiments.attack_comparison.settings import DETERMINISTIC, Comparison, ComparisonConfig, comparisons
from experiments.core import records, runner, trained_model
from experiments.core.keys import stream
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import SettingError
from experiments.core.worker import Worker, WorkerError, Workers
from experiments.mnist_vib import Config, load
from ib_jax import AttackResult, attacks, data, evaluation, losses, models
from ib_jax.attacks.runner import ApplyFn
from ib_jax.types import Array, Params

RESULTS = pathlib.Path("workdirs/attack_comparison")
TOLERANCE = 1e-5  # what float32 may add to a distance or take a pixel beyond its range
BOUNDARY = 1e-4  # of the largest logit: a lead of the label so small that rounding decides
_ACCOUNT = ("by_its_own_account", "warnings", "standing", "status")
"""What an attack says besides numbers; it goes into a model's details."""


class AttackedModel(NamedTuple):
    """A network without noise, also as kernel and bias of each of its dense layers, and test images in [0, 1]."""

    apply_fn: ApplyFn
    params: Params
    layers: list[tuple[np.ndarray, np.ndarray]]
    images: np.ndarray
    labels: np.ndarray
    description: Mapping[str, Any]


def load_model(workdir: str | pathlib.Path, *, data_dir: str = "") -> AttackedModel:
    """The network of a finished run of `experiments.mnist_vib`, at its averaged weights; it must be deterministic."""
    recipe = trained_model.open_recipe(workdir, data_dir=data_dir)
    return _attacked_model(recipe, trained_model.open_model(workdir, recipe), str(workdir))


def train_model(**settings: Any) -> AttackedModel | None:
    """A network trained for the purpose, without noise, by settings of `experiments.mnist_vib`; None if stopped."""
    config = Config(**settings, objective="cross_entropy", epochs_per_eval=settings["num_epochs"])
    recipe = Recipe(config, load(config))
    with tempfile.TemporaryDirectory() as workdir:
        trained = runner.train(recipe, pathlib.Path(workdir), Session())
        return None if trained is None else _attacked_model(recipe, trained, "trained for this record")


def _attacked_model(recipe: Recipe, trained: trained_model.TrainedModel, origin: str) -> AttackedModel:
    config, test, params = recipe.config, recipe.dataset.test, trained.params
    if config.stochastic:
        raise SettingError(
            f"--checkpoint must be of a deterministic network, as of cross_entropy; got {config.objective}"
        )
    names = ("dataset", "objective", "num_epochs", "hidden_width", "latent_dim", "seed")
    description = {"checkpoint": origin, "test_error": trained.summary["test"]["error_mean"]}
    description |= {name: getattr(config, name) for name in names}
    encoder = params["encoder"]
    dense = [*(encoder[f"Dense_{index}"] for index in range(len(encoder))), params["decoder"]["Dense_0"]]
    layers = [(np.asarray(layer["kernel"]), np.asarray(layer["bias"])) for layer in dense]
    images, labels = np.asarray(data.to_unit_interval(test.inputs)), np.asarray(test.labels)
    return AttackedModel(models.mean_apply(recipe.model), params, layers, images, labels, description)


class AttackEvaluator:
    """What an attack achieved, by the JAX network alone, so that all libraries are judged alike.

    An all-zero image counts as a failure: it is what foolbox's CW returns where it found nothing. `images` and `labels`
    are the first of the model's, and `correct`, bool [N], those that are classified right before any attack.
    """

    def __init__(self, model: AttackedModel, num_images: int):
        self.images, self.labels = model.images[:num_images], model.labels[:num_images]
        keys = losses.per_example_keys(stream(0, "judge"), len(self.labels))

        @jax.jit
        def answers(images: Array) -> tuple[Array, Array]:
            logits = model.apply_fn(model.params, keys, images)
            lead = losses.margin(logits, jnp.asarray(self.labels))
            return losses.predicted_class(logits), lead <= BOUNDARY * jnp.abs(logits).max(-1)

        self._answers = answers
        self.correct = evaluation.is_right(answers(jnp.asarray(self.images))[0], self.labels)

    def __call__(self, images: np.ndarray, *, norm: str, epsilon: float | None = None) -> dict[str, float]:
        """Robust accuracy and the sizes of the perturbations of attacked images, of which there may be fewer.

        Returns:
          `robust_accuracy`, the share still classified right; `outside`, images outside the ball or [0, 1] or with a
          NaN, which count as failures; what `evaluation.summarise_perturbations` says; `on_boundary`, failures that end
          on the boundary itself, where another rounding may see a success; and `boundary_...`, the sizes if they were.

        Raises:
          ValueError: the network answers NaN to an image that counts.
        """
        count = len(images)
        inputs, labels, correct = self.images[:count], self.labels[:count], self.correct[:count]
        padded = jnp.asarray(np.concatenate([images, self.images[count:]]))
        answers, close = (np.asarray(array)[:count] for array in self._answers(padded))
        flat = np.asarray(images, np.float64).reshape(count, -1)
        order = {"linf": np.inf, "l2": 2, "l1": 1, "l0": 0}[norm]
        size = np.linalg.norm(flat - inputs.reshape(count, -1), order, axis=-1)
        inside = ((flat >= -TOLERANCE) & (flat <= 1 + TOLERANCE)).all(-1)
        inside &= size <= (np.inf if epsilon is None else epsilon + TOLERANCE)
        outside = int((~inside).sum())
        inside &= flat.any(-1)
        evaluation.decided(np.where(inside, answers, 0))
        success = (answers != labels) & inside

        def sizes(success: np.ndarray) -> Mapping[str, float]:
            result = AttackResult(jnp.nan_to_num(jnp.asarray(images)), jnp.asarray(success))
            measured = evaluation.measure_perturbations(jnp.asarray(inputs), result, jnp.asarray(correct))
            median = evaluation.median_distance(size, ~success, correct)
            return {**evaluation.summarise_perturbations(measured), f"median_{norm}_all": median}

        boundary = sizes(success | (close & inside))
        return {
            "robust_accuracy": float((correct & ~success).mean()),
            "outside": outside,
            **sizes(success),
            "on_boundary": int((correct & inside & close & ~success).sum()),
            **{
                f"boundary_{name}": boundary[name]
                for name in dict.fromkeys(("success_rate", "median_l2_all", "median_linf_all", f"median_{norm}_all"))
            },
        }


class Peers(Workers):
    """The other libraries' attacks on the evaluator's images, in processes that start when they are first needed."""

    def __init__(self, model: AttackedModel, evaluator: AttackEvaluator):
        self._evaluator = evaluator

        def start(avx512: bool, folder: pathlib.Path) -> Worker:
            arrays: dict[str, Any] = {"images": evaluator.images, "labels": evaluator.labels}
            for index, (kernel, bias) in enumerate(model.layers):
                arrays |= {f"kernel_{index}": kernel, f"bias_{index}": bias}
            np.savez(folder / "task.npz", **arrays)
            return Worker(peers.__name__, {"task": str(folder / "task.npz")}, avx512=avx512)

        super().__init__(start)

    def __call__(
        self,
        attack: str,
        settings: Mapping[str, Any],
        *,
        norm: str,
        epsilon: float | None = None,
        avx512: bool = False,
        **call: Any,
    ) -> dict[str, Any]:
        """What an attack achieved by the evaluator, and what the worker says of it.

        Args:
          attack: "library.Attack", by the library's own name, and so are the settings; see `peers.make_attack`.
          settings: of the library's attack.
          norm: for the evaluation, as epsilon.
          epsilon: the radius; None without one.
          avx512: whether to force MKL's AVX-512 path on processors that are not Intel's.
          **call: num_images, batch_size, min_seconds and seed, as of `peers.make_answer`.

        Raises:
          WorkerError: the library is missing, or its attack failed.
        """
        if reason := peers.missing(attack.partition(".")[0], avx512=avx512):
            raise WorkerError(reason)
        output = str(self.folder / "out.npz")
        request = {"attack": attack, "output": output, "settings": dict(settings), **call}
        reply = self.ask(request, avx512=avx512)
        with np.load(output) as file:
            return reply | self._evaluator(file["images"], norm=norm, epsilon=epsilon)


def run(config: ComparisonConfig, session: Session, model: AttackedModel | None = None) -> Record | None:
    """Attacks a network, by default the one that the settings name, on both sides; None if its training was stopped."""
    model = model or _model(config, session)
    if model is None:
        session.console.print("Stopped while the network was trained; nothing is attacked.")
        return None
    evaluator, wanted = AttackEvaluator(model, config.num_images), comparisons(config)
    turns = [
        (seed, compared)
        for seed in range(config.seed, config.seed + config.num_starts)
        for compared in wanted
        if seed == config.seed or compared.group not in DETERMINISTIC
    ]
    measured: dict[int, list[Measurement]] = collections.defaultdict(list)
    accounts: dict[int, dict[str, Any]] = collections.defaultdict(dict)
    work = sum(1 + len(compared.peers) for _, compared in turns)
    with Peers(model, evaluator) as others, WorkLine(session.console, work) as line:
        for seed, compared in turns:
            name = report.name_of(compared.conditions)
            for library in (report.OURS, *compared.peers):
                if library == report.OURS:
                    said = _ours(config, compared, seed, model, evaluator)
                else:
                    said = _theirs(config, compared, seed, library, others)
                if account := {key: said.pop(key) for key in _ACCOUNT if key in said}:
                    accounts[seed][f"{name}, {library}"] = account
                measured[seed].append(Measurement({"library": library, **compared.conditions}, said))
                line(f"seed {seed}", f"{name}, {library}", 1)
    details = {
        "peers": others.info.get("as installed", {}),
        "num_images": len(evaluator.labels),
        "clean_accuracy": float(evaluator.correct.mean()),
    }
    name, network = str(model.description["objective"]), dict(model.description)
    starts = [Model(name, seed, each, network, details=accounts[seed]) for seed, each in measured.items()]
    record = session.record(starts, config, details=details)
    path = pathlib.Path(config.output or RESULTS / f"{network['dataset']}.json")
    records.write(path, record)
    session.publish(path.parent)
    return record


def _model(config: ComparisonConfig, session: Session) -> AttackedModel | None:
    if config.checkpoint:
        return load_model(config.checkpoint, data_dir=config.data_dir)
    session.console.print(f"Training a network on {config.dataset}, {config.num_epochs} epochs.")
    names = ("dataset", "num_epochs", "hidden_width", "data_dir", "seed")
    return train_model(**{name: getattr(config, name) for name in names})


def _ours(
    config: ComparisonConfig, compared: Comparison, seed: int, model: AttackedModel, evaluator: AttackEvaluator
) -> dict[str, Any]:
    attacked = attacks.Runner(compared.attack, model.apply_fn, batch_size=min(config.batch_size, len(evaluator.labels)))
    images, labels = jnp.asarray(evaluator.images), jnp.asarray(evaluator.labels)
    start = time.perf_counter()
    result = attacked(model.params, stream(seed, "attack"), images, labels)
    said: dict[str, Any] = {"seconds_with_compiling": time.perf_counter() - start}
    said |= evaluator(np.asarray(result.inputs), norm=compared.norm, epsilon=compared.epsilon)
    return said | ({"standing": compared.attack.standing(result)} if compared.group == "autoattack" else {})


def _theirs(config: ComparisonConfig, compared: Comparison, seed: int, library: str, others: Peers) -> dict[str, Any]:
    """Nothing but why, where the library is missing or its attack fails."""
    call: dict[str, Any] = {"batch_size": config.batch_size, "seed": seed}
    try:
        return others(library, compared.peers[library], norm=compared.norm, epsilon=compared.epsilon, **call)
    except WorkerError as error:
        return {"status": str(error)}
