"""CEB on images end to end, tiny: alone and as a population, attacked and corrupted; its report; what is refused."""

import dataclasses
import types

import numpy as np
import pytest
from rich.console import Console

from experiments.cifar10_ceb import report as cifar10_report
from experiments.cifar10_ceb import run as cifar10_ceb
from experiments.cifar10_ceb.settings import PRESETS, Cifar10Config, SweepSettings
from experiments.cifar10_ceb.settings import scaled as scaled_by_flags
from experiments.core import frames, records, render
from experiments.core.image_settings import LEVELS, AttackSettings, plan
from experiments.core.records import Measurement, Model, Record
from experiments.core.session import Session
from experiments.core.settings import as_dict
from experiments.core.workdir import WorkdirError
from ib_jax import data, training
from tests.experiments.core import tiny

SESSION = Session("cifar10_ceb", "python -m x", Console(quiet=True))
RNG = np.random.default_rng(0)


def split(count):
    labels = RNG.integers(0, 3, count).astype(np.int32)
    images = RNG.integers(0, 100, (count, 8, 8, 3)) + 50 * labels[:, None, None, None]
    return data.Split(images.astype(np.uint8), labels)


DATASET = data.Dataset("cifar10", split(16), None, split(10), 3)
TINY = Cifar10Config(
    **PRESETS["small"].values
    | {"width": 1, "num_epochs": 1, "batch_size": 8, "steps_per_call": 0, "augment": "flip_crop"},
    num_eval_samples=2,
    eval_batch_size=10,
)
ATTACK = AttackSettings(
    linf_epsilons=(8.0,),
    l2_epsilons=(64.0, 128.0),
    pgd_steps=2,
    num_eot_samples=2,
    num_attack_images=4,
    num_square_images=3,
    num_queries=3,
    attack_batch_size=4,
    num_corrupted_images=0,
)
ONCE = dataclasses.replace(ATTACK, l2_epsilons=(64.0,), logit_scales=(1.0, 1e6))
SWEEP = SweepSettings(rhos=(2.0, 5.0))


@pytest.fixture(scope="module", autouse=True)
def tiny_models():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10_ceb, "load", lambda config: DATASET)
        patch.setattr(cifar10_ceb, "FUNCTIONS", cifar10_ceb.FUNCTIONS._replace(network=tiny.image_network))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Cross-entropy and CEB at two rhos: the second pair as a population."""
    config = dataclasses.replace(TINY, workdir=str(tmp_path_factory.mktemp("ceb")))
    return config, cifar10_ceb.run(config, SWEEP, ONCE, SESSION)


@pytest.mark.slow
def test_every_model_has_a_record_of_every_attack(finished):
    config, results = finished
    found = {record.file: record for record in records.load(results)}
    assert set(found) == {"cross_entropy_seed0", "ceb_rho2_seed0", "ceb_rho5_seed0"}
    for name, record in found.items():
        numbers = frames.frame([record])
        attacked = frames.where(numbers, together=None, metric="accuracy", attack=["pgd", "square"], logit_scale=None)
        assert len(attacked) == len(plan(ONCE, stochastic=name.startswith("ceb")))
        scaled = {"attack": "pgd", "epsilon": 8 / LEVELS, "metric": "accuracy", "at_mean": True, "num_steps": 2}
        for loss in ("cross_entropy", "margin"):
            alike = frames.where(numbers, **scaled, norm="linf", targeted=False, source=None, loss=loss, together=None)
            shares = alike.set_index("logit_scale")["value"]
            assert shares[1.0] == alike[alike["logit_scale"].isna()]["value"].item()
            assert loss == "cross_entropy" or shares[1e6] == shares[1.0]
        assert "with the logits of the same networks scaled" in (results / "table.md").read_text()
        together = frames.where(numbers, together=True)
        assert set(together["num_images"]) == {3}
        assert frames.where(together, attack="worst")["value"].item() == pytest.approx(together["value"].min())
        assert set(numbers["source"].dropna()) == {"ceb_rho2" if name.startswith("cross") else "cross_entropy"}
        assert record.models[0].settings["network"] == "WRN-10-1, stem stride 2, flip_crop"
        assert config.workdir not in (results / f"{name}.json").read_text()  # nothing of this machine
    assert {path.name for path in results.iterdir()} - {f"{name}.json" for name in found} == {
        "table.md", "figure1.png", "figure2.png"
    }  # fmt: skip


@pytest.mark.slow
def test_what_is_done_is_not_done_again_and_other_settings_are_refused(finished, monkeypatch):
    config, results = finished
    before = {path: path.read_bytes() for path in results.glob("*.json")}
    monkeypatch.setattr(training, "fit", lambda *args, **kwargs: pytest.fail("trained again"))
    assert cifar10_ceb.run(config, SWEEP, ONCE, SESSION) == results
    assert {path: path.read_bytes() for path in results.glob("*.json")} == before
    with pytest.raises(WorkdirError, match=r"--learning_rate: 0\.003 there, 0\.01 now"):
        cifar10_ceb.run(dataclasses.replace(config, learning_rate=0.01), SWEEP, ONCE, SESSION)
    with pytest.raises(WorkdirError, match="--pgd_steps: 2 there, 3 now"):
        cifar10_ceb.run(config, SWEEP, dataclasses.replace(ONCE, pgd_steps=3), SESSION)


def record(objective, rho, accuracies, seed, adversary="none"):
    """A model whose accuracies under PGD L-inf 8, L2 64 and L2 128 are given."""
    config = dataclasses.replace(TINY, objective=objective, rho=rho, seed=seed, adversary=adversary)
    specs = plan(ATTACK, stochastic=config.stochastic)
    rows = [Measurement({"split": "test"}, {"error_mean": 0.25})]
    rows.append(Measurement({"split": "test", "attack": "clean", "num_images": 9, "at_mean": True}, {"accuracy": 0.8}))
    known = dict(zip([("linf", 8 / LEVELS), ("l2", 64 / LEVELS), ("l2", 128 / LEVELS)], accuracies, strict=True))
    for spec in specs:
        share = known.get((spec.norm, spec.epsilon), 0.0)
        rows.append(Measurement({"split": "test", **spec.conditions(), "num_images": 9}, {"accuracy": share}))
    worst = {"split": "test", "attack": "worst", "norm": "linf", "epsilon": 8 / LEVELS, "num_images": 9}
    rows.append(Measurement({**worst, "together": True}, {"accuracy": accuracies[0]}))
    details = {"training": {"environment": {"commit": "0123456789"}}, "training_seconds": 60.0}
    findings = [{"check": "black_box", "message": "Square does better", "evidence": {}}]
    model = Model(config.name, seed, rows, {"network": "WRN-10-1", **as_dict(config)}, findings, details)
    return Record("cifar10_ceb", "a test", as_dict(ATTACK), [model], file=f"{config.name}_{seed}")


def test_the_report_says_whether_the_trend_is_that_of_the_paper(tmp_path):
    models = [("cross_entropy", 3.0, (0.1, 0.2, 0.1), "none"), ("cross_entropy", 3.0, (0.5, 0.3, 0.2), "pgd")]
    models += [("ceb", rho, (0.7 - rho / 10, 0.5, 0.1 + rho / 10), "none") for rho in (1.0, 3.0, 5.0)]
    made = [
        record(objective, rho, tuple(value + change for value in accuracies), seed, adversary)
        for objective, rho, accuracies, adversary in models for seed, change in [(0, 0.0), (1, 0.02)]
    ]  # fmt: skip
    report = cifar10_report.report(frames.frame(made), made)
    lines = render.markdown(report).splitlines()
    render.write(report, tmp_path)
    assert (tmp_path / "figure1.png").stat().st_size > 10_000
    titles = [line.split(" | ")[0] for line in lines if line.startswith(("| cross-entropy", "| CEB"))]
    networks = ["| cross-entropy", "| cross-entropy against PGD", "| CEB, rho = 5", "| CEB, rho = 3", "| CEB, rho = 1"]
    assert titles[:5] == networks
    verdicts = {line.split(" | ")[0]: line.split(" | ")[-1] for line in lines if "(points) |" in line}
    assert "confirmed" in verdicts["| CEB, rho = 1 above cross-entropy against PGD under PGD L-inf 8 (points)"]
    assert "not found" in verdicts["| CEB, rho = 3 above cross-entropy against PGD under PGD L-inf 8 (points)"]
    assert "not found" in verdicts["| cross-entropy above cross-entropy against PGD under PGD L2 64 (points)"]
    row = next(line for line in lines if line.startswith("| CEB, rho = 3"))
    assert row.startswith("| CEB, rho = 3 | 75.0 ± 0.0 | 41.0 ± 1.4 |")  # mean and deviation over two seeds
    assert any("PGD L-inf 8 rises" in line and "| 6 | +0.9" in line and "**confirmed**" in line for line in lines)
    assert any("PGD L2 128 rises" in line and "| 6 | -0.9" in line and "**not found**" in line for line in lines)
    assert sum("Square does better" in line for line in lines) == len(made)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cifar10Config(scale_epochs=0.0), "--scale_epochs must be positive, got 0"),
        (lambda: Cifar10Config(num_epochs=0), "--num_epochs must be at least 1"),
        (lambda: SweepSettings(rhos=(1.0, 1.0)), "--rhos must differ"),
        (lambda: AttackSettings(radius=5.0), "--radius must be one of --linf_epsilons"),
        (lambda: AttackSettings(l2_epsilons=(2.0, 1.0)), "--l2_epsilons must increase"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_scales_shrink_epochs_and_width():
    given = types.SimpleNamespace(scale_epochs=0.01, scale_width=0.2)
    scaled = scaled_by_flags(PRESETS["paper"].on("cifar10"), given)
    assert (scaled["num_epochs"], scaled["width"], scaled["depth"]) == (15, 2, 28)
