"""Attacked images and RobustBench's model file: what others read is what was measured."""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import evaluation

INPUTS = np.asarray(jax.random.uniform(jax.random.key(0), (12, 3)))
LABELS = INPUTS.argmax(-1)
SPECS = [
    evaluation.AttackSpec("fgsm", 0.1),
    evaluation.AttackSpec("pgd", 0.1, num_steps=3, num_images=8),
    evaluation.AttackSpec("pgd", 0.1, loss="margin", num_steps=3),
    evaluation.AttackSpec("deepfool", num_steps=5),
]


def apply_fn(weight, keys, inputs):
    return inputs @ weight


@pytest.fixture(scope="module")
def result():
    return evaluation.evaluate_attacks(
        jax.random.key(1), apply_fn, jnp.eye(3), INPUTS, LABELS, suite=SPECS, keep_images=True
    )


def test_another_reader_finds_the_accuracy_that_was_measured(result, tmp_path):
    path = evaluation.export_images(
        tmp_path / "deep", result, INPUTS, LABELS, model="linear", seed=3, about={"set": "toy"}
    )
    manifest = json.loads(path.read_bytes())
    assert (manifest["model"], manifest["seed"], manifest["set"], manifest["shape"]) == ("linear", 3, "toy", [3])
    assert len({row["file"] for row in manifest["attacks"]}) == len(SPECS)  # two differ in their loss alone
    for told, row in zip(manifest["attacks"], result.rows, strict=True):
        written = path.with_name(told["file"])
        assert hashlib.sha256(written.read_bytes()).hexdigest() == told["sha256"]
        with np.load(written, allow_pickle=False) as arrays:
            count = told["num_images"]
            assert arrays["x_adv"].shape == (count, 3)
            np.testing.assert_array_equal(arrays["x"], INPUTS[:count])
            right = (INPUTS[:count].argmax(-1) == arrays["y"]) & (arrays["x_adv"].argmax(-1) == arrays["y"])
            np.testing.assert_array_equal(arrays["stands"], right)
            assert right.mean() == pytest.approx(told["accuracy"]) == row.accuracy
            if "epsilon" in told:
                assert np.abs(arrays["x_adv"] - arrays["x"]).max() <= told["epsilon"] + 1e-6


def test_images_that_were_not_kept_are_refused_before_anything_is_written(tmp_path):
    without = evaluation.evaluate_attacks(jax.random.key(1), apply_fn, jnp.eye(3), INPUTS, LABELS, suite=SPECS[:1])
    with pytest.raises(ValueError, match="evaluate with keep_images=True"):
        evaluation.export_images(tmp_path / "no", without, INPUTS, LABELS, model="linear", seed=0)
    assert not (tmp_path / "no").exists() or not list((tmp_path / "no").iterdir())


def test_robustbench_reads_the_worst_of_all_at_the_radius(result):
    info = evaluation.robustbench_info(result, epsilon=0.1, dataset="toy", name="A", architecture="linear")
    worst = np.mean([result.rows[0].stands[:8], result.rows[1].stands, result.rows[2].stands[:8]], axis=0) == 1
    assert info["reported"] == f"{100 * worst.mean():.2f}"
    assert info["clean_acc"] == "100.00"
    assert info["autoattack_acc"] is None
    assert info["eps"] == "0.1"
    assert json.loads(json.dumps(info)) == info
    with pytest.raises(ValueError, match="epsilon must be the radius of an attack"):
        evaluation.robustbench_info(result, epsilon=0.2, dataset="toy", name="A", architecture="linear")


@pytest.mark.parametrize(
    ("epsilon", "expected"), [(8 / 255, "8/255"), (0.3, "0.3"), (np.float32(4 / 255), "4/255"), (1.0, "1")]
)
def test_radii_are_written_as_the_field_does(epsilon, expected):
    from ib_jax.evaluation.export import _radius

    assert _radius(float(epsilon)) == expected
