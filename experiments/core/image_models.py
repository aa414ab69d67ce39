"""Trained image models beside each other: attacked and shown corrupted images, with a record of each.

A model answers from the mean of its code, as in the CEB paper; against EOT it answers from samples of z. What is
measured is kept as it comes, so that a stopped run goes on from there.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.core import attacks, records, trained_model
from experiments.core.attacks import AttackedModel, ModelAttacks, work_of
from experiments.core.corrupted_images import BATCH_SIZE, CorruptedImages, Predict, constants_of, error_of, made
from experiments.core.image_settings import LEVELS, AttackSettings, plan
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import EVALUATION, Settings, departures
from experiments.core.workdir import WorkdirError, check_reuse, deciding, environment, without_paths
from ib_jax import corruptions, data, evaluation, models, training
from ib_jax.evaluation import AttackRow, AttackSuite, SuiteResult

IMAGENET = "imagenet2012"
AVERAGE = "average"
"""The corruption under which records have the average of the 15, and mCE."""
Natural = Callable[[Mapping[str, Predict]], dict[str, float]]
"""From models by file to their errors on natural adversarial examples."""
_BACKWARD = 3.0  # what a pass forth and back costs, in forward ones


@dataclasses.dataclass(frozen=True)
class ImageModel:
    """A trained image model; its data and network are opened when they are asked for.

    Attributes:
      config: its settings, `workdir` among them.
      network: what its architecture is called, such as "WRN-28-10".
      file: what its record is called, without ".json".
      open_recipe: its data and network.
    """

    config: Any
    network: str
    file: str
    open_recipe: Callable[[], Recipe] = dataclasses.field(compare=False)

    @functools.cached_property
    def recipe(self) -> Recipe:
        """Its data and network."""
        return self.open_recipe()

    @property
    def structure(self) -> Any:
        """Equal for models that differ in their parameters alone."""
        return self.recipe.functions, dataclasses.replace(self.config, rho=0.0, seed=0, workdir="")

    @property
    def attacked(self) -> AttackedModel:
        """The same to be attacked."""
        load = functools.partial(trained_model.restore_params, self.recipe, self.config.workdir)
        return AttackedModel(self.file, self.config.seed, self.structure, self.config.stochastic, load)


def make_suite(settings: AttackSettings, recipe: Recipe) -> AttackSuite:
    """The attacks on models of the structure of a recipe."""
    test, config = recipe.first_test(settings.num_attack_images), recipe.config
    return AttackSuite(
        plan(settings, stochastic=config.stochastic),
        models.sampled_apply(recipe.model),
        np.asarray(data.to_unit_interval(test.inputs)),
        test.labels,
        targets=attacks.random_targets(test.labels, recipe.dataset.num_classes),
        mean_fn=models.mean_apply(recipe.model),
        num_eval_samples=config.num_eval_samples,
        batch_size=settings.attack_batch_size,
    )


class ImageModels:
    """Answers and attacks of several models, each structure compiled once.

    Args:
      models: of one data set.
      settings: of the attacks.
    """

    def __init__(self, models: Sequence[ImageModel], settings: AttackSettings):
        self._models, self._predicts = {model.file: model for model in models}, dict[Any, Any]()
        self._attacks = ModelAttacks(
            lambda attacked: make_suite(settings, self._models[attacked.name].recipe),
            lambda attacked: self.source_of(self._models[attacked.name]).attacked,
        )

    def predict(self, model: ImageModel) -> Predict:
        """Logits at the mean of the code."""
        network = model.recipe.model
        if model.structure not in self._predicts:
            self._predicts[model.structure] = jax.jit(
                lambda own, images: network.decode(own, network.encode(own, images).mean)
            )
        return functools.partial(self._predicts[model.structure], self._attacks.params(model.attacked))

    def attack(self, model: ImageModel, report: Callable[[AttackRow], None]) -> SuiteResult:
        """Every attack on a model."""
        return self._attacks.attack(model.attacked, report=report)

    def work(self, models: Iterable[ImageModel]) -> float:
        """What attacking some models costs, in images times passes forth and back."""
        return self._attacks.work(model.attacked for model in models)

    def source_of(self, model: ImageModel) -> ImageModel:
        """On which model images for transfer are made: cross-entropy, and for it a bottleneck; alone: on itself."""
        others = [other for other in self._models.values() if other.config.name != model.config.name]
        others.sort(
            key=lambda other: (
                other.config.stochastic,
                other.network != model.network,
                other.config.seed != model.config.seed,
            )
        )
        return (others or [model])[0]


def first_images(model: ImageModel, count: int) -> CorruptedImages | None:
    """The first test images of a model, as they are and corrupted on the device; None if they cannot be, or for 0."""
    split = model.recipe.first_test(count)
    if not len(split.labels) or split.inputs.dtype != np.uint8 or split.inputs.shape[-1] != 3:
        return None  # the corruptions are made for colour images
    constants = constants_of(split.inputs.shape[1])
    return CorruptedImages(
        len(split.labels), constants, lambda: data.batches(data.ArraySource(split), BATCH_SIZE), made(split, constants)
    )


def measure_models(
    models: Sequence[ImageModel],
    settings: Settings,
    results: pathlib.Path,
    session: Session,
    *,
    attack: AttackSettings | None,
    images: Callable[[], CorruptedImages | None],
    natural: Natural | None = None,
    without: Collection[str] = (),
) -> None:
    """Attacks and corrupts every model that has no record, and writes its record.

    Args:
      models: trained ones, of one data set.
      settings: what is measured, for the record.
      results: folder of the records.
      session: where to show progress, and the command for the records.
      attack: what they are attacked with; None for nothing.
      images: makes what they are shown, once there is a model without a record; None for nothing.
      natural: errors on natural adversarial examples; None for none.
      without: settings that decide nothing this time.

    Raises:
      WorkdirError: a record was made with other settings, or of another model.
      FileNotFoundError: a model has no checkpoint.
    """
    begun = {model.file: _begun(model, settings, results, session, without) for model in models}
    waiting = [model for model in models if begun[model.file] is not None]
    if not waiting:
        session.console.print(f"Every model has its record in {results}.", highlight=False)
        return
    shown, every = images(), ImageModels(models, attack or AttackSettings())
    ongoing = _Ongoing(results, {name: record for name, record in begun.items() if record is not None})
    predicts = {model.file: every.predict(model) for model in waiting}  # a checkpoint that is missing stops here
    attacked = [model for model in waiting if attack and "attack_seconds" not in ongoing.model(model).details]
    steps = [(at, ongoing.missing(waiting, at)) for at in shown.conditions()] if shown else []
    work = sum(len(missing) for _, missing in steps) * (shown.num_images if shown else 0)
    with WorkLine(session.console, work + _BACKWARD * every.work(attacked)) as line:
        for at, missing in steps:
            assert shown is not None
            errors = error_of(
                {model.file: predicts[model.file] for model in missing}, shown.batches(at) if missing else ()
            )
            for model in missing:
                ongoing.add(model, [Measurement(at, {"error_mean": errors[model.file]})])
            what = f"{at['corruption']} {at['severity']}" if "corruption" in at else "clean"
            line("every model", what, len(missing) * shown.num_images)
        if natural is not None:
            at = {"split": "natural"}
            missing = ongoing.missing(waiting, at)
            errors = natural({model.file: predicts[model.file] for model in missing})
            for model in missing:
                ongoing.add(model, [Measurement(at, {"error_mean": errors[model.file]})])
        for model in attacked:
            assert attack is not None
            result = every.attack(model, functools.partial(_report, line, model.config.name))
            source = every.source_of(model).config.name
            rows = attacks.measurements(result, source=source, radii=[("linf", attack.radius / LEVELS)])
            own, seconds = [Measurement(**row) for row in rows], {"attack_seconds": result.seconds}
            ongoing.add(model, own, attacks.findings(result), seconds)
        for model in waiting:
            ongoing.finish(model, shown)


class _Ongoing:
    """The records of models that are being measured, kept in a folder until they are whole."""

    def __init__(self, results: pathlib.Path, begun: dict[str, Record]):
        self._results, self._records = results, begun

    def model(self, model: ImageModel) -> Model:
        """What is known of a model so far."""
        return self._records[model.file].models[0]

    def missing(self, models: Sequence[ImageModel], at: Mapping[str, Any]) -> list[ImageModel]:
        """The models of which nothing is known at some conditions."""
        return [model for model in models if not self.model(model).values_at(**at)]

    def add(
        self,
        model: ImageModel,
        rows: Sequence[Measurement],
        findings: Sequence[Any] = (),
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Keeps what was measured."""
        old, record = self.model(model), self._records[model.file]
        new = dataclasses.replace(
            old,
            measurements=[*old.measurements, *rows],
            findings=[*old.findings, *findings],
            details={**old.details, **(details or {})},
        )
        self._records[model.file] = dataclasses.replace(record, models=[new])
        records.write(_unfinished(self._results, model), self._records[model.file])

    def finish(self, model: ImageModel, shown: CorruptedImages | None) -> None:
        """Adds the summaries, and puts the record where it belongs."""
        if shown is not None:
            self.add(model, _summary(self.model(model), model.config.dataset, shown))
            sizes = {"num_images": shown.num_images, "constants": shown.constants}
            self._records[model.file] = dataclasses.replace(self._records[model.file], details=sizes)
        records.write(self._results / f"{model.file}.json", self._records[model.file])
        if training.is_main():
            path = _unfinished(self._results, model)
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()


def _report(line: WorkLine, model: str, row: AttackRow) -> None:
    line(model, row.spec.label, _BACKWARD * work_of(row.spec, row.num_images))


def _summary(model: Model, dataset: str, shown: CorruptedImages) -> list[Measurement]:
    """The average of the 15 corruptions, if all were measured, and mCE of ImageNet models."""
    if not set(corruptions.CORRUPTIONS) <= set(shown.names):
        return []
    measured = {(each.at.get("corruption"), each.at.get("severity")): each.values for each in model.measurements}
    errors: Any = {
        name: [measured[name, severity]["error_mean"] for severity in corruptions.SEVERITIES]
        for name in corruptions.CORRUPTIONS
    }
    values = {"error_mean": evaluation.average_corruption_error(errors)}
    if dataset == IMAGENET:
        values["mce"] = evaluation.mean_corruption_error(errors)
    return [Measurement({"split": "test", "num_images": shown.num_images, "corruption": AVERAGE}, values)]


def _begun(
    model: ImageModel, settings: Settings, results: pathlib.Path, session: Session, without: Collection[str]
) -> Record | None:
    """What is known of a model so far, of an earlier run as well; None if it has its record."""
    trained = trained_model.read_results(model.config.workdir)
    (own,) = trained.models
    origin = {"experiment": trained.experiment, "command": without_paths(trained.command)}
    details = {**own.details, "training": {**origin, "environment": trained.environment}}
    finished, unfinished = results / f"{model.file}.json", _unfinished(results, model)
    for path in (finished, unfinished):
        if not path.exists():
            continue
        old = records.read(path)
        (there,) = old.models
        check_reuse(path, there.settings, model.config, stage=EVALUATION)
        check_reuse(path, old.settings, settings, stage=EVALUATION, without=without)
        same = there.values_at(split="test") == own.values_at(split="test")
        if not same or any(there.details.get(name) != value for name, value in details.items()):
            raise WorkdirError(
                f"{path} was made of another model than the one in {model.config.workdir} now; give another folder."
            )
        return None if path == finished else old
    kept = {name: getattr(settings, name) for name in deciding(settings, EVALUATION) if name not in without}
    found = [each._asdict() for each in departures(model.config, settings) if each.name not in without]
    settings_of_model = {"network": model.network, **trained.settings}
    new = dataclasses.replace(own, settings=settings_of_model, details=details)
    return Record(session.experiment, session.command, kept, [new], departures=found, environment=environment())


def _unfinished(results: pathlib.Path, model: ImageModel) -> pathlib.Path:
    return results / "unfinished" / f"{model.file}.json"
