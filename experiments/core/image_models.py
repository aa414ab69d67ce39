"""Trained image models beside each other: attacked and shown corrupted images, with a record of each.

A model answers from the mean of its code, as in the CEB paper; against EOT it answers from samples of z. What is
measured is kept as it comes, so that a stopped run goes on from there.
"""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.core import attacks, records, trained_model
from experiments.core.adversary import NONE
from experiments.core.attacks import AttackedModel, ModelAttacks, work_of
from experiments.core.corrupted_images import (
    ALL,
    BATCH_SIZE,
    CorruptedImages,
    Predict,
    can_be_corrupted,
    constants_of,
    corrupted_on_device,
    error_of,
)
from experiments.core.image_settings import LEVELS, AttackSettings, plan, plan_scaled
from experiments.core.keys import stream
from experiments.core.progress import WorkLine
from experiments.core.recipe import Recipe
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import EVALUATION, Settings, departures
from experiments.core.workdir import WorkdirError, check_reuse, without_paths
from ib_jax import corruptions, data, evaluation, training
from ib_jax.evaluation import AttackRow, AttackSuite
from ib_jax.models import mean_apply, sampled_apply
from ib_jax.types import Array

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
      open_recipe: its data and network.
      prefix: of the name of its record.
    """

    config: Any
    network: str
    open_recipe: Callable[[], Recipe] = dataclasses.field(compare=False)
    prefix: str = ""

    @property
    def file(self) -> str:
        """What its record is called, without ".json"."""
        return f"{self.prefix}{self.config.name}_seed{self.config.seed}"

    @functools.cached_property
    def recipe(self) -> Recipe:
        """Its data and network."""
        return self.open_recipe()

    @property
    def attacked(self) -> AttackedModel:
        """The same to be attacked; models that differ in their parameters alone have the same structure."""
        structure = self.recipe.functions, dataclasses.replace(self.config, rho=0.0, seed=0, workdir="")
        load = functools.partial(trained_model.restore_params, self.recipe, self.config.workdir)
        return AttackedModel(self.file, self.config.seed, structure, self.config.stochastic, load)


def make_suite(settings: AttackSettings, recipe: Recipe, logit_scale: float | None = None) -> AttackSuite:
    """The attacks on models of the structure of a recipe; or those on the same with their logits scaled."""
    test, config = recipe.first_test(settings.num_attack_images), recipe.config

    def scaled(apply_fn: Callable[..., Array]) -> Callable[..., Array]:
        return apply_fn if logit_scale is None else lambda *args: logit_scale * apply_fn(*args)

    return AttackSuite(
        plan(settings, stochastic=config.stochastic) if logit_scale is None else plan_scaled(settings),
        scaled(sampled_apply(recipe.model)),
        np.asarray(data.to_unit_interval(test.inputs)),
        test.labels,
        targets=attacks.random_targets(test.labels, recipe.dataset.num_classes),
        mean_fn=scaled(mean_apply(recipe.model)),
        num_eval_samples=config.num_eval_samples,
        batch_size=settings.attack_batch_size,
    )


def transfer_source(model: ImageModel, models: Sequence[ImageModel]) -> ImageModel:
    """On which model images for transfer are made: cross-entropy, and for it a bottleneck; alone: on itself.

    A model that was trained against an adversary is the last choice.
    """

    def distance(other: ImageModel) -> tuple[bool, ...]:
        own, against = other.config, getattr(other.config, "adversary", NONE) != NONE
        return against, own.stochastic, other.network != model.network, own.seed != model.config.seed

    return min((each for each in models if each.config.name != model.config.name), key=distance, default=model)


def first_images(recipe: Recipe, count: int, names: Sequence[str] = ALL, seed: int = 0) -> CorruptedImages | None:
    """The first test images, as they are and corrupted on the device; None if they cannot be, or for 0."""
    split = recipe.first_test(count)
    if not len(split.labels) or not can_be_corrupted(split.inputs.shape[1:], split.inputs.dtype):
        return None
    constants = constants_of(split.inputs.shape[1])
    return CorruptedImages(data.ArraySource(split), corrupted_on_device(split, constants, seed), constants, names)


def measure_models(
    models: Sequence[ImageModel],
    settings: Sequence[Settings],
    results: pathlib.Path,
    session: Session,
    *,
    attack: AttackSettings | None,
    images: Callable[[], CorruptedImages | None] | None = None,
    natural: Natural | None = None,
) -> None:
    """Attacks and corrupts every model that has no record, and writes its record.

    Args:
      models: trained ones, of one data set.
      settings: what is measured, for the records.
      results: folder of the records.
      session: where to show progress, and the command for the records.
      attack: what they are attacked with; None for nothing.
      images: makes what they are shown, if anything, once there is a model without a record. Default: the first test
        images, corrupted on the device, as many as `attack` says.
      natural: errors on natural adversarial examples; None for none.

    Raises:
      WorkdirError: a record was made with other settings, or of another model.
      FileNotFoundError: a model has no checkpoint.
    """
    _wait_for_all()  # process 0 has written the results of the models
    opened = [_open_record(model, settings, results, session) for model in models]
    _wait_for_all()  # all have read what was there, and process 0 may write
    waiting = [each for each in opened if each is not None]
    if not waiting:
        session.console.print(f"Every model has its record in {results}.")
        return
    by_file = {model.file: model for model in models}
    suites = ModelAttacks(
        lambda own: make_suite(attack or AttackSettings(), by_file[own.name].recipe),
        lambda own: transfer_source(by_file[own.name], models).attacked,
        attack.export_images if attack else "",
    )
    # A program for each scale, whatever the number of models.
    scales = attack.logit_scales if attack else ()
    asked = attack or AttackSettings()
    scaled = {scale: ModelAttacks(functools.partial(_scaled_suite, asked, by_file, scale)) for scale in scales}
    if images is not None:
        shown = images()
    else:
        shown = first_images(models[0].recipe, attack.num_corrupted_images if attack else 0)
    compiled, predicts = dict[Any, Any](), dict[str, Predict]()
    for each in waiting:  # stops here without a checkpoint
        own = each.model.attacked
        at_mean = compiled.setdefault(own.structure, _on_all_devices(mean_apply(each.model.recipe.model)))
        predicts[own.name] = functools.partial(at_mean, suites.params(own), stream(0, "evaluation"))
    conditions = shown.conditions() if shown else []
    attacked = [each for each in waiting if attack and "attack_seconds" not in each.known.details]

    def measure(at: Mapping[str, Any], errors: Callable[[Mapping[str, Predict]], dict[str, float]]) -> int:
        """Adds the errors at some conditions to the records that have none; how many these are."""
        missing = {each.model.file: each for each in waiting if each.lacks(at)}
        if missing:
            for file, error in errors({file: predicts[file] for file in missing}).items():
                missing[file].add([Measurement(at, {"error_mean": error})])
        return len(missing)

    work = sum(at["num_images"] for at in conditions for each in waiting if each.lacks(at))
    work += _BACKWARD * suites.work(each.model.attacked for each in attacked)
    with WorkLine(session.console, work) as line:
        for at in conditions:
            assert shown is not None
            count = measure(at, lambda own, at=at: error_of(own, shown.batches(at)))  # type: ignore[misc]
            what = f"{at['corruption']} {at['severity']}" if "corruption" in at else "clean"
            line("every model", what, count * at["num_images"])
        if natural is not None:
            measure({"split": "natural"}, natural)
        for each in attacked:
            assert attack is not None
            result = suites.attack(each.model.attacked, report=functools.partial(_report, line, each.model.config.name))
            source, radii = transfer_source(each.model, models).config.name, [("linf", attack.radius / LEVELS)]
            rows = [Measurement(**row) for row in attacks.measurements(result, source=source, radii=radii)]
            for scale, surer in scaled.items():
                found = attacks.measurements(surer.attack(each.model.attacked))
                rows += [Measurement(row["at"] | {"logit_scale": scale}, row["values"]) for row in found]
            each.add(rows, attacks.findings(result), attack_seconds=result.seconds)
        for each in waiting:
            each.finish(shown)
    _wait_for_all()  # the records are there


def _scaled_suite(
    settings: AttackSettings, by_file: Mapping[str, ImageModel], scale: float, own: AttackedModel
) -> AttackSuite:
    return make_suite(settings, by_file[own.name].recipe, scale)


def _on_all_devices(apply_fn: Callable[..., Any]) -> Callable[..., Any]:
    """(params, a key that is not used, images) -> answers; all devices share a batch."""
    return training.map_examples(lambda params, keys, images: apply_fn(params, None, images), batch_size=BATCH_SIZE)


def _report(line: WorkLine, model: str, row: AttackRow) -> None:
    line(model, row.spec.label, _BACKWARD * work_of(row.spec, row.num_images))


def _wait_for_all() -> None:
    """Every process goes on when all have come here: what process 0 wrote before is there then."""
    training.from_main(0)


@dataclasses.dataclass
class _OpenRecord:
    """The record of a model that is being measured, kept in `unfinished/` until it is whole."""

    model: ImageModel
    record: Record
    results: pathlib.Path

    @property
    def known(self) -> Model:
        """What was measured so far."""
        return self.record.models[0]

    def lacks(self, at: Mapping[str, Any]) -> bool:
        """Whether nothing was measured at some conditions."""
        return not self.known.values_at(**at)

    def add(self, rows: Sequence[Measurement], findings: Sequence[Any] = (), **details: Any) -> None:
        """Keeps what was measured."""
        known = dataclasses.replace(
            self.known,
            measurements=[*self.known.measurements, *rows],
            findings=[*self.known.findings, *findings],
            details={**self.known.details, **details},
        )
        self.record = dataclasses.replace(self.record, models=[known])
        records.write(_unfinished(self.results, self.model), self.record)

    def finish(self, shown: CorruptedImages | None) -> None:
        """Adds the summaries, and puts the record where it belongs."""
        if shown is not None:
            self.add(_summary(self.known, self.model.config.dataset, shown))
            sizes = {"num_images": len(shown.clean), "constants": shown.constants}
            self.record = dataclasses.replace(self.record, details=sizes)
        records.write(self.results / f"{self.model.file}.json", self.record)
        if training.is_main():
            path = _unfinished(self.results, self.model)
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # others are still in it
                path.parent.rmdir()


def _summary(model: Model, dataset: str, shown: CorruptedImages) -> list[Measurement]:
    """The average of the 15 corruptions, if all were measured, and mCE of ImageNet models."""
    if not set(corruptions.CORRUPTIONS) <= set(shown.names):
        return []
    at = {"split": "test", "num_images": len(shown.clean)}
    errors: Any = {
        name: [model.values_at(**at, corruption=name, severity=s)["error_mean"] for s in corruptions.SEVERITIES]
        for name in corruptions.CORRUPTIONS
    }
    values = {"error_mean": evaluation.average_corruption_error(errors)}
    if dataset == IMAGENET:
        values["mce"] = evaluation.mean_corruption_error(errors)
    return [Measurement({**at, "corruption": AVERAGE}, values)]


def _open_record(
    model: ImageModel, settings: Sequence[Settings], results: pathlib.Path, session: Session
) -> _OpenRecord | None:
    """What is known of a model so far, of an earlier run as well; None if its record is whole."""
    trained = trained_model.read_results(model.config.workdir)
    (own,) = trained.models
    origin = {"experiment": trained.experiment, "command": without_paths(trained.command)}
    details = {**own.details, "training": {**origin, "environment": trained.environment}}
    finished = results / f"{model.file}.json"
    for path in (finished, _unfinished(results, model)):
        if not path.exists():
            continue
        old = records.read(path)
        (there,) = old.models
        check_reuse(path, there.settings, model.config, stage=EVALUATION)
        check_reuse(path, old.settings, *settings, stage=EVALUATION)
        same = there.values_at(split="test") == own.values_at(split="test")
        if not same or any(there.details.get(name) != value for name, value in details.items()):
            raise WorkdirError(
                f"{path} was made of another model than the one in {model.config.workdir} now; give another folder."
            )
        return None if path == finished else _OpenRecord(model, old, results)
    new = dataclasses.replace(own, settings={"network": model.network, **trained.settings}, details=details)
    departed = [each._asdict() for each in departures(model.config, *settings)]
    record = dataclasses.replace(session.record([new], *settings), departures=departed)
    return _OpenRecord(model, record, results)


def _unfinished(results: pathlib.Path, model: ImageModel) -> pathlib.Path:
    return results / "unfinished" / f"{model.file}.json"
