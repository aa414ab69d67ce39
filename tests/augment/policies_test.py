"""The policies' tables and what their levels mean, against torchvision's and the formulas of the authors' code."""

import collections

import numpy as np
import pytest

from ib_jax import augment
from ib_jax.augment import magnitudes, operations

SQUARE = (32, 32, 3)
COUNTS_95 = {"equalize": 40, "auto_contrast": 35, "solarize": 24, "translate_y": 23, "color": 13, "brightness": 13}
COUNTS_95 |= {"sharpness": 7, "shear_y": 7, "invert": 6, "contrast": 6, "translate_x": 4, "shear_x": 4, "rotate": 3}
COUNTS_95 |= {"cut_out": 3, "posterize": 2}
GEOMETRY = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
ENHANCE = ("brightness", "color", "contrast", "sharpness")


def snake(name):
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")


def autoaugment_of_torchvision():
    pytest.importorskip("torch")
    try:
        from torchvision.transforms import autoaugment
    except (ImportError, RuntimeError) as error:  # RuntimeError: its compiled part does not fit this PyTorch
        pytest.skip(f"torchvision: {error}")
    return autoaugment


def test_tables_are_well_formed():
    assert {name: len(policy) for name, policy in augment.POLICIES.items()} == {
        "cifar10": 25,
        "cifar10_95": 95,
        "imagenet": 25,
        "imagenet_v0": 25,
    }
    for policy in augment.POLICIES.values():
        for sub_policy in policy:
            assert len(sub_policy) == 2
            for name, probability, level in sub_policy:
                assert name in operations.__all__
                assert probability in (np.arange(11) / 10).round(1)
                assert level in range(11)


def test_the_reduced_set_is_in_the_full_one_but_for_five():
    """Levels are left out of operations that have none."""

    def known(sub_policy):
        without = ("auto_contrast", "equalize", "invert")
        return tuple((name, probability, 0 if name in without else level) for name, probability, level in sub_policy)

    full = {known(sub_policy) for sub_policy in augment.POLICIES["cifar10_95"]}
    assert sum(known(sub_policy) in full for sub_policy in augment.POLICIES["cifar10"]) == 20


def test_how_often_the_full_set_names_each_operation():
    """Counted in google-research/sam, autoaugment/policies.py."""
    named = collections.Counter(name for policy in augment.POLICIES["cifar10_95"] for name, _, _ in policy)
    assert named == COUNTS_95
    assert sum(named.values()) == 190


@pytest.mark.parametrize(("policy", "theirs"), [("cifar10", "CIFAR10"), ("imagenet", "IMAGENET")])
def test_torchvision_has_the_same_tables(policy, theirs):
    autoaugment = autoaugment_of_torchvision()
    expected = autoaugment.AutoAugment(autoaugment.AutoAugmentPolicy[theirs]).policies
    found = augment.POLICIES[policy]
    assert [[(name, probability, level or 0) for name, probability, level in sub_policy] for sub_policy in found] == [
        [(snake(name), probability, level or 0) for name, probability, level in sub_policy] for sub_policy in expected
    ]


@pytest.mark.parametrize("shape", [SQUARE, (224, 320, 3)])
def test_torchvision_has_the_same_magnitudes(shape):
    autoaugment = autoaugment_of_torchvision()
    space = autoaugment.AutoAugment()._augmentation_space(10, shape[:2])
    for name, (bins, signed) in space.items():
        operation = snake(name)
        for level in range(10):
            expected = float(bins[level]) if bins.ndim else 0.0
            for negative in (False, True):
                theirs = -expected if signed and negative else expected
                if operation in ENHANCE:
                    theirs += 1
                if operation.startswith("translate"):
                    theirs = int(theirs)
                arguments = {"negative": negative, "shape": shape}
                found = magnitudes.amount("cifar10", "torchvision", operation, level, **arguments)
                assert found == pytest.approx(theirs, rel=1e-6, abs=1e-6), (operation, level)


@pytest.mark.parametrize("level", range(11))
def test_original_magnitudes_of_cifar10(level):
    expected = {
        "rotate": 3 * level,
        "translate_x": level,
        "translate_y": level,
        "shear_x": 0.03 * level,
        "shear_y": 0.03 * level,
        "posterize": [4, 4, 4, 3, 3, 2, 2, 2, 1, 1, 0][level],
        "solarize": [256, 231, 205, 180, 154, 128, 103, 77, 52, 26, 0][level],
        "cut_out": 2 * level,
        "invert": 0,
    } | dict.fromkeys(ENHANCE, 0.1 + 0.18 * level)
    for operation, value in expected.items():
        for negative in (False, True):
            arguments = {"negative": negative, "shape": SQUARE}
            found = magnitudes.amount("cifar10_95", "original", operation, level, **arguments)
            sign = -1 if negative and operation in GEOMETRY else 1
            assert found == pytest.approx(sign * value), (operation, level)


def test_original_magnitudes_of_imagenet():
    expected = {
        ("rotate", 9): 27.0,
        ("translate_y", 9): 91,
        ("shear_x", 5): 0.15,
        ("posterize", 8): 3,
        ("posterize", 6): 2,
        ("posterize", 2): 1,
        ("solarize", 8): 204,
        ("solarize", 10): 256,
        ("solarize_add", 7): 77,
        ("color", 0): 0.1,
        ("contrast", 8): 1.54,
    }
    for (operation, level), value in expected.items():
        found = magnitudes.amount("imagenet_v0", "original", operation, level, negative=False, shape=(224, 300, 3))
        assert found == pytest.approx(value), (operation, level)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (0, {"rotate": 0, "shear_x": 0, "translate_y": 0, "posterize": 8, "solarize": 255, "color": 1.0}),
        (3, {"rotate": 10, "shear_x": 0.1, "translate_y": 4, "posterize": 7, "solarize": 170, "color": 1.3}),
        (9, {"rotate": 30, "shear_x": 0.3, "translate_y": 14, "posterize": 4, "solarize": 0, "color": 1.9}),
    ],
)
def test_torchvisions_magnitudes_without_torchvision(level, expected):
    """Bins of ten from one end to the other, as its source says."""
    for operation, value in expected.items():
        found = magnitudes.amount("imagenet", "torchvision", operation, level, negative=False, shape=SQUARE)
        assert found == pytest.approx(value), operation
        other = magnitudes.amount("imagenet", "torchvision", operation, level, negative=True, shape=SQUARE)
        mirrored = 2 - value if operation == "color" else value if operation in ("posterize", "solarize") else -value
        assert other == pytest.approx(mirrored), operation


def test_translations_follow_the_side_they_go_along():
    arguments = {"negative": False, "shape": (64, 96, 3)}
    assert magnitudes.amount("cifar10", "original", "translate_x", 9, **arguments) == 27
    assert magnitudes.amount("cifar10", "original", "translate_y", 9, **arguments) == 18


def test_what_comes_in_from_outside():
    assert magnitudes.default_fill("cifar10_95", "original") == augment.CIFAR10_MEAN
    assert magnitudes.default_fill("imagenet", "original") == (128, 128, 128)
    assert magnitudes.default_fill("imagenet", "torchvision") == (0, 0, 0)


@pytest.mark.parametrize(
    ("policy", "convention", "message"),
    [
        ("svhn", "original", "policy must be one of cifar10, cifar10_95, imagenet, imagenet_v0, got 'svhn'"),
        ("cifar10", "keras", "magnitudes must be original or torchvision, got 'keras'"),
        ("cifar10_95", "torchvision", "magnitudes must be original for policy 'cifar10_95'"),
    ],
)
def test_unknown_names_are_refused(policy, convention, message):
    with pytest.raises(ValueError, match=message):
        augment.auto_augment(policy, magnitudes=convention)
