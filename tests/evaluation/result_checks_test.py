import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ib_jax import evaluation, losses

RNG = np.random.default_rng(3)
N = 400


def pair(a, b, both=50, n=N):
    """Results of two attacks: `a` examples fall to the first alone, `b` to the second alone, `both` to both."""
    first, second = np.ones((2, n), bool)
    first[:a], second[a : a + b] = False, False
    first[a + b : a + b + both], second[a + b : a + b + both] = False, False
    order = RNG.permutation(n)
    return first[order], second[order]


# Each takes the attack that should not win first.
PAIRED = {
    "one_step": evaluation.check_one_step,
    "budget": lambda larger, smaller, **settings: evaluation.check_budget(smaller, larger, **settings),
}


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("a, b", [(0, 0), (4, 0), (5, 0), (0, 5), (7, 1), (8, 1), (30, 20), (33, 20), (60, 60)])
def test_paired_checks_are_the_sign_test(name, a, b):
    p_value = scipy.stats.binomtest(a, a + b, 0.5, "greater").pvalue if a + b else 1.0
    finding = PAIRED[name](*pair(a, b))
    assert (finding is not None) == (p_value <= 0.05)
    if finding is not None:
        assert finding.check == name
        assert finding.evidence["p_value"] == pytest.approx(p_value, rel=1e-12)
        assert sorted(v for k, v in finding.evidence.items() if k.startswith("only_")) == sorted([a, b])
        accuracies = [v for k, v in finding.evidence.items() if k.startswith("accuracy_")]
        assert accuracies == [(N - 50 - a) / N, (N - 50 - b) / N]


@pytest.mark.parametrize("check", PAIRED.values(), ids=PAIRED)
def test_a_difference_must_also_be_large_enough_to_matter(check):
    first, second = pair(40, 1, n=10_000)
    assert check(first, second) is None  # 0.39 %
    assert check(first, second, min_difference=0.0039) is not None
    assert check(first, second, min_difference=0.0039, level=1e-12) is None


@pytest.mark.parametrize("check", PAIRED.values(), ids=PAIRED)
def test_equally_good_attacks_are_reported_at_most_at_the_level(check):
    """The share of false alarms over 1,000 pairs that differ by chance alone; its standard error is 0.7 %."""
    draws = RNG.random((1000, 2, 300)) < 0.3
    alarms = np.mean([check(first, second) is not None for first, second in draws])
    assert 0.02 < alarms < 0.065


def test_results_may_be_numbers_or_arrays_of_jax():
    first, second = pair(8, 1)
    expected = evaluation.check_one_step(first, second)
    assert evaluation.check_one_step(jnp.asarray(first), second.astype(np.float32)) == expected


@pytest.mark.parametrize("alone, n, found", [(1, 40, False), (2, 40, True), (2, 1000, False), (3, 1000, True)])
def test_black_box_attacks_may_break_two_examples_in_a_thousand(alone, n, found):
    black, white = pair(alone, 10, both=20, n=n)
    finding = evaluation.check_black_box(black, white, name="square")
    assert (finding is not None) == found
    if found:
        assert finding.check == "black_box"
        assert finding.evidence["only_black_box"] == alone
        assert finding.evidence["only_white_box"] == 10
        assert "The square breaks" in finding.message
        assert "does not find the worst case" in finding.message


def test_a_black_box_attack_that_is_better_altogether_is_called_so():
    finding = evaluation.check_black_box(*pair(20, 2))
    assert "masked gradients" in finding.message
    assert finding.evidence["accuracy_black_box"] < finding.evidence["accuracy_white_box"]


def test_black_box_limits_are_settings():
    assert evaluation.check_black_box(*pair(20, 2), tolerance=0.05) is None
    assert evaluation.check_black_box(*pair(20, 2), min_examples=21) is None
    assert evaluation.check_black_box(*pair(1, 2), min_examples=1) is not None


def test_check_results_runs_what_it_can():
    weak, white = pair(30, 5)
    stands = np.arange(N) < 40
    findings = evaluation.check_results(
        white, one_step=weak, larger_budget=weak, black_box={"square": weak, "transfer": white}, unbounded=stands,
        epsilons=np.array([0.0, 0.1, 0.2]), curve=np.array([0.9, 0.2, 0.4]),
    )  # fmt: skip
    names = ["black_box", "one_step", "budget", "unbounded", "large_radius", "monotone"]
    assert [finding.check for finding in findings] == names
    assert "The square breaks" in findings[0].message
    for finding in findings:
        assert finding.message.endswith(".")
        assert all(type(value) is float for value in finding.evidence.values())
    sound = evaluation.check_results(
        white, one_step=np.ones(N, bool), larger_budget=white, black_box={"square": white}, unbounded=np.zeros(N, bool),
        epsilons=np.array([0.0, 0.1, 0.2]), curve=np.array([0.9, 0.2, 0.0]),
    )  # fmt: skip
    assert sound == []


def test_a_model_that_hides_its_gradients_is_found_by_its_results():
    """Quantised inputs: the gradient is zero, so steps along it go nowhere, and random signs break many examples."""
    weight = jnp.asarray(RNG.normal(size=(4, 2)), jnp.float32)
    logits_fn = lambda inputs: (jnp.round(inputs * 20.0) / 20.0) @ weight
    inputs = jnp.asarray(RNG.uniform(size=(N, 4)), jnp.float32)
    labels = logits_fn(inputs).argmax(-1)
    right = lambda moved: np.asarray(logits_fn(jnp.clip(moved, 0.0, 1.0)).argmax(-1) == labels)
    slope = jax.grad(lambda x: losses.cross_entropy(logits_fn(x), labels).sum())(inputs)
    epsilons = np.array([0.0, 0.1, 0.5, 1.0])
    curve = np.stack([right(inputs + epsilon * jnp.sign(slope)) for epsilon in epsilons], axis=1)
    tries = [right(inputs + 0.5 * RNG.choice([-1.0, 1.0], inputs.shape)) for _ in range(20)]
    findings = evaluation.check_results(
        curve[:, 2], black_box={"random signs": np.all(tries, axis=0)}, unbounded=curve[:, 3], epsilons=epsilons,
        curve=curve,
    )  # fmt: skip
    assert [finding.check for finding in findings] == ["black_box", "unbounded", "large_radius"]
    # With a smooth stand-in for the rounding the same steps break everything there is to break.
    slope = weight[:, 1 - labels].T - weight[:, labels].T
    curve = np.stack([right(inputs + epsilon * jnp.sign(slope)) for epsilon in epsilons], axis=1)
    assert evaluation.check_results(curve[:, 2], black_box={"random signs": np.all(tries, axis=0)}) == []
    assert curve[:, 3].mean() < 0.05


def test_bad_input_is_refused():
    ones = np.ones(5, bool)
    with pytest.raises(ValueError, match=r"one_step must be bool \[N\] with N >= 1, got float64 \[\]"):
        evaluation.check_one_step(np.float64(0.3), ones)
    with pytest.raises(ValueError, match=r"multi_step must be bool, or 0 and 1, .* such as 0.3"):
        evaluation.check_one_step(ones, np.full(5, 0.3))
    with pytest.raises(ValueError, match=r"larger and smaller must be of the same examples, .* 'smaller': 5"):
        evaluation.check_budget(ones, ones[1:])
    with pytest.raises(ValueError, match=r"level must be a share in \[0, 1\), got 5"):
        evaluation.check_budget(ones, ones, level=5)
    with pytest.raises(ValueError, match=r"min_difference must be a share in \[0, 1\), got nan"):
        evaluation.check_budget(ones, ones, min_difference=np.nan)
    with pytest.raises(ValueError, match="min_examples must be at least 1, got 0"):
        evaluation.check_black_box(ones, ones, min_examples=0)
    with pytest.raises(ValueError, match="got none: give one_step or another"):
        evaluation.check_results(ones)
    with pytest.raises(ValueError, match="epsilons and curve must be given together"):
        evaluation.check_results(ones, epsilons=np.array([0.0, 1.0]))
