"""Attacked images and robustness for others to read: NumPy arrays with a manifest, and RobustBench's model file."""

import hashlib
import json
import os
import pathlib
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from ib_jax.evaluation.suite_result import WORST, SuiteResult
from ib_jax.files import write_arrays, write_whole
from ib_jax.paths import make_folder
from ib_jax.types import Array

MANIFEST = "manifest.json"
_FORMAT = 1


def export_images(
    folder: str | os.PathLike[str],
    result: SuiteResult,
    inputs: Array | np.ndarray,
    labels: Array | np.ndarray,
    *,
    model: str,
    seed: int,
    about: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Writes the attacked images of a suite, with a manifest, for any framework that reads NumPy files.

    A file for each attack, `NAME.npz`, has `x_adv` float32 [n, ...] in the layout of `inputs` (channels last in this
    library), `x` and `y`, what was attacked and its labels, and `stands` bool [n], right before and after the attack.
    `manifest.json` names them all, with their digests.

    Args:
      folder: made if absent; files of the same attacks in it are written anew.
      result: of `AttackSuite.evaluate` or `evaluate_attacks` with `keep_images=True`.
      inputs: float [N, ...], as they were attacked.
      labels: int [N].
      model: what the model is called.
      seed: of the model and its attacks.
      about: more for the manifest, in plain scalars: data set, checkpoint, the suite's units.

    Returns:
      The path of the manifest, which is written last.

    Raises:
      ValueError: the result holds no images, or `folder` is an address.

    Example:
      >>> import jax, jax.numpy as jnp, json, tempfile
      >>> from ib_jax import evaluation
      >>> inputs = jax.random.uniform(jax.random.key(0), (8, 4))
      >>> apply_fn, labels = lambda weight, keys, x: x @ weight, inputs.argmax(-1)
      >>> result = evaluation.evaluate_attacks(jax.random.key(1), apply_fn, jnp.eye(4), inputs, labels,
      ...                                      suite=[evaluation.AttackSpec("fgsm", 0.1)], keep_images=True)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = evaluation.export_images(folder, result, inputs, labels, model="linear", seed=0)
      ...     [(row["file"], row["epsilon"]) for row in json.loads(path.read_bytes())["attacks"]]
      [('fgsm_linf_0.1.npz', 0.1)]
    """
    home = make_folder(folder, "folder")
    rows: list[dict[str, Any]] = []
    for row in result.rows:
        if row.images is None:
            raise ValueError(
                f"result must hold the attacked images, {row.spec.label!r} has none; evaluate with keep_images=True"
            )
        name = re.sub(r"[^-.A-Za-z0-9]+", "_", row.spec.label).strip("_") + ".npz"
        count = row.num_images
        arrays = {
            "x_adv": np.asarray(row.images, np.float32),
            "x": np.asarray(inputs[:count], np.float32),
            "y": np.asarray(labels[:count]),
            "stands": row.stands,
        }
        write_arrays(home / name, arrays, compressed=True)
        digest = hashlib.sha256((home / name).read_bytes()).hexdigest()
        rows.append({"file": name, **row.conditions(), "accuracy": row.accuracy, "sha256": digest})
    told = {"format": _FORMAT, "model": model, "seed": seed, "shape": list(np.shape(inputs)[1:]), **(about or {})}
    text = json.dumps(told | {"clean_accuracy": result.clean_accuracy, "attacks": rows}, indent=1)
    write_whole(home / MANIFEST, lambda file: file.write(f"{text}\n".encode()))
    return home / MANIFEST


def robustbench_info(
    result: SuiteResult,
    *,
    epsilon: float,
    norm: str = "linf",
    dataset: str,
    name: str,
    architecture: str,
    authors: str = "",
    link: str = "",
    venue: str = "",
    additional_data: bool = False,
    number_forward_passes: int = 1,
) -> dict[str, Any]:
    """A model's robustness in the form of RobustBench's `model_info` files, for `robustness.json`.

    Args:
      result: of a suite.
      epsilon: the radius to report.
      norm: its norm.
      dataset: as of "cifar10".
      name: title of the work.
      architecture: the network.
      authors: names with commas between.
      link: to the work.
      venue: and its year.
      additional_data: whether more than the data set was trained on.
      number_forward_passes: samples of z behind an answer.

    Returns:
      Plain scalars. Accuracies are per cent in strings; "reported" is the worst of all attacks at the radius, and
      "autoattack_acc" is None unless AutoAttack is one of them. The footnote says how many images and which attacks.

    Raises:
      ValueError: the suite has no attack at the radius.

    Source: github.com/RobustBench/robustbench, model_info.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from ib_jax import evaluation
      >>> inputs = jax.random.uniform(jax.random.key(0), (40, 4))
      >>> result = evaluation.evaluate_attacks(
      ...     jax.random.key(1), lambda weight, keys, x: x @ weight, jnp.eye(4), inputs, inputs.argmax(-1),
      ...     suite=[evaluation.AttackSpec("pgd", 8 / 255)])
      >>> info = evaluation.robustbench_info(result, epsilon=8 / 255, dataset="toy", name="-", architecture="linear")
      >>> info["eps"], info["clean_acc"], info["autoattack_acc"]
      ('8/255', '100.00', None)
    """
    together = result.together(epsilon, norm)
    ours = [row for row in result.rows if (row.spec.epsilon, row.spec.norm) == (epsilon, norm)]
    found = [row for row in ours if row.spec.attack == "autoattack"]
    labels = [label for label in together.accuracy if label not in (WORST, "clean")]
    return {
        "link": link,
        "name": name,
        "authors": authors,
        "additional_data": additional_data,
        "number_forward_passes": number_forward_passes,
        "dataset": dataset,
        "venue": venue,
        "architecture": architecture,
        "eps": _radius(epsilon),
        "clean_acc": f"{100 * together.accuracy['clean']:.2f}",
        "reported": f"{100 * together.accuracy[WORST]:.2f}",
        "autoattack_acc": f"{100 * found[0].accuracy:.2f}" if found else None,
        "footnote": f"{together.num_images} images in {norm}; reported: the worst of {'; '.join(labels)}",
    }


def _radius(epsilon: float) -> str:
    """A radius as the field writes it: so many 255ths, where it is a whole number of them."""
    levels = Fraction(epsilon * 255).limit_denominator(1000)
    return f"{levels.numerator}/255" if levels.denominator == 1 and epsilon * 255 < 255 else f"{epsilon:g}"
