"""A suite of attacks: the accounting against naive NumPy, keys, resume, transfer, what is found and what is refused."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ib_jax import attacks, evaluation, losses
from ib_jax.evaluation import AttackSpec, SuiteKeys
from ib_jax.evaluation.suite_findings import suite_findings

RNG = np.random.default_rng(0)
INPUTS = RNG.uniform(0.2, 0.8, (40, 3)).astype(np.float32)
WEIGHT = jnp.asarray(np.eye(3) + RNG.normal(size=(3, 3)) / 5, jnp.float32)
LABELS = np.where(np.arange(40) % 5, np.asarray(INPUTS @ WEIGHT).argmax(-1), 1)  # some are wrong before any attack
KEYS = SuiteKeys(*jax.random.split(jax.random.key(1), 3))
SPECS = [
    AttackSpec("fgsm", 0.05),
    AttackSpec("pgd", 0.05, num_steps=3),
    AttackSpec("pgd", 0.05, num_steps=3, loss="margin"),
    AttackSpec("pgd", 0.05, num_steps=3, targeted=True),
    AttackSpec("square", 0.05, num_images=11, options={"num_queries": 5}),
    AttackSpec("pgd", 0.2, num_steps=3),
    AttackSpec("deepfool", num_images=17, num_steps=4),
]
TARGETS = (LABELS + 1) % 3


def linear(weight, keys, inputs):
    return inputs @ weight


def noisy(weight, keys, inputs):
    noise = jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys)
    return inputs @ weight + 0.1 * noise


def suite(specs=SPECS, apply_fn=linear, **settings):
    given = {"num_eval_samples": 3, "batch_size": 16, "targets": TARGETS} | settings
    return evaluation.AttackSuite(specs, apply_fn, INPUTS, LABELS, **given)


@pytest.fixture(scope="module")
def measured():
    return suite(measures={"mean": lambda weight, images: images.mean(-1)}).evaluate(WEIGHT, KEYS, keep_images=True)


def test_numbers_are_those_of_naive_accounting(measured):
    answer = lambda images: (np.asarray(images) @ np.asarray(WEIGHT)).argmax(-1)
    before = [answer(x[None])[0] == y for x, y in zip(INPUTS, LABELS, strict=True)]
    assert 0 < measured.clean_accuracy == np.mean(before) < 1
    for spec, row in zip(SPECS, measured.rows, strict=True):
        stands = [answer(x[None])[0] == LABELS[i] and before[i] for i, x in enumerate(row.images)]
        assert row.accuracy == np.mean(stands)
        assert row.num_images == (spec.num_images or 40)
        assert row.measures["mean"] == pytest.approx(row.images.mean())
        moved = np.sqrt(((row.images - INPUTS[: row.num_images]) ** 2).sum(-1))
        if spec.attack == "deepfool":
            far = sorted(np.inf if stood else size for size, stood, right in zip(moved, stands, before) if right)  # noqa: B905
            assert row.median_distance == pytest.approx(far[(len(far) - 1) // 2])
        else:
            assert row.median_distance is None
            assert np.abs(row.images - INPUTS[: row.num_images]).max() <= spec.epsilon + 1e-6


def test_together_are_the_images_that_all_attacks_of_a_radius_were_tried_on(measured):
    found, here = measured.together(), [row for row in measured.rows if row.spec.epsilon == 0.05]
    assert (found.epsilon, found.norm, found.num_images) == (0.05, "linf", 11)
    assert set(found.accuracy) == {"clean", "worst", *(row.spec.label for row in here)}
    alive = [all(row.stands[i] for row in here) for i in range(11)]
    assert found.accuracy["worst"] == measured.worst_accuracy == np.mean(alive)
    for row in here:
        assert found.accuracy[row.spec.label] == row.stands[:11].mean()
    assert measured.together(0.2).accuracy["worst"] == measured.rows[5].accuracy
    with pytest.raises(ValueError, match=r"epsilon must be the radius of an attack in l2, got 0.05"):
        measured.together(0.05, "l2")


def test_attacks_are_the_librarys_by_the_keys_that_were_given(measured):
    made = {
        0: attacks.fgsm(0.05),
        1: attacks.pgd(0.05, num_steps=3),
        3: attacks.pgd(0.05, num_steps=3),
        6: attacks.deepfool(num_steps=4, num_judge_samples=1),
    }
    keys = losses.per_example_keys(KEYS.attack, 40)
    for index, attack in made.items():
        count = measured.rows[index].num_images
        aims = jnp.asarray(TARGETS) if SPECS[index].targeted else None
        run = attacks.Runner(attack, linear, batch_size=16)
        wanted = run(WEIGHT, keys[:count], jnp.asarray(INPUTS[:count]), jnp.asarray(LABELS[:count]), aims)
        np.testing.assert_array_equal(measured.rows[index].images, wanted.inputs)


def test_answers_of_a_stochastic_model_are_of_fresh_samples_the_same_before_and_after():
    specs = [AttackSpec("fgsm", epsilon, num_eot_samples=2) for epsilon in (0.0, 0.05)]
    found = suite(specs, noisy).evaluate(WEIGHT, KEYS, keep_images=True)
    keys = losses.per_example_keys(KEYS.judge, 40)
    logits_fn = lambda keys, inputs: noisy(WEIGHT, keys, inputs)
    for row in found.rows:
        wanted = losses.sampled_class(keys, logits_fn, row.images, 3)
        np.testing.assert_array_equal(row.answers, wanted)
    np.testing.assert_array_equal(found.rows[0].stands, found.clean)


def test_at_the_mean_attacks_and_answers_are_those_of_the_mean_function():
    specs = [AttackSpec("fgsm", 0.05, at_mean=True), AttackSpec("fgsm", 0.05, num_eot_samples=2)]
    found = suite(specs, noisy, mean_fn=linear).evaluate(WEIGHT, KEYS)
    mean, samples = suite(SPECS[:1]).evaluate(WEIGHT, KEYS), suite(specs[1:], noisy).evaluate(WEIGHT, KEYS)
    np.testing.assert_array_equal(found.rows[0].stands, mean.rows[0].stands)
    np.testing.assert_array_equal(found.clean_at_mean, mean.clean)
    np.testing.assert_array_equal(found.rows[1].stands, samples.rows[0].stands)
    np.testing.assert_array_equal(found.clean, samples.clean)
    with pytest.raises(ValueError, match="mean_fn must be given"):
        suite(specs, noisy)


def test_images_for_transfer_are_made_on_the_source_once_and_with_its_own_key():
    spec = AttackSpec("pgd", 0.05, num_steps=3, num_eot_samples=2, source="plain")
    other, made = suite(SPECS[:1]), []
    source = other.transfer_source(2.0 * WEIGHT, KEYS._replace(attack=jax.random.key(7)), stochastic=False)
    attack = other.programs.attack
    other.programs.attack = lambda *args: made.append(args[0]) or attack(*args)
    suites = suite([spec, dataclasses.replace(spec, num_images=40)])
    with pytest.raises(ValueError, match="sources must hold the models that specs name, plain is missing"):
        suites.evaluate(WEIGHT, KEYS)
    found = suites.evaluate(WEIGHT, KEYS, sources={"plain": source}, keep_images=True)
    assert [one.num_eot_samples for one in made] == [1]
    run = attacks.Runner(attacks.pgd(0.05, num_steps=3), linear, batch_size=16)
    wanted = run(2.0 * WEIGHT, jax.random.key(7), jnp.asarray(INPUTS), jnp.asarray(LABELS))
    for row in found.rows:
        np.testing.assert_array_equal(row.images, wanted.inputs)


def test_a_killed_suite_goes_on_and_a_folder_of_another_is_refused(tmp_path):
    class Killed(Exception):
        pass

    done = []

    def report(row):
        done.append(row.spec.label)
        if len(done) == 3:
            raise Killed

    whole, specs = suite().evaluate(WEIGHT, KEYS), SPECS
    with pytest.raises(Killed):
        suite().evaluate(WEIGHT, KEYS, folder=tmp_path, report=report)
    again = suite()
    attack, made = again.programs.attack, []
    again.programs.attack = lambda *args: made.append(args[0]) or attack(*args)
    found = again.evaluate(WEIGHT, KEYS, folder=tmp_path)
    assert made == specs[3:]
    for mine, theirs in zip(found.rows, whole.rows, strict=True):
        assert {k: v for k, v in mine.values().items() if k != "seconds"} == {
            k: v for k, v in theirs.values().items() if k != "seconds"
        }
        np.testing.assert_array_equal(mine.answers, theirs.answers)
    assert found.findings == whole.findings
    refused = [
        (suite(), KEYS._replace(judge=jax.random.key(9)), "other parameters, keys or data"),
        (suite(num_eval_samples=2), KEYS, "num_eval_samples = 3, not 2"),
        (suite(specs[:-1]), KEYS, "by other attacks, with deepfool l2, 4 steps, first 17"),
        (suite([*specs, AttackSpec("bim", 0.1)]), KEYS, r"by other attacks, without bim linf 0.1, 10 steps"),
    ]
    for other, keys, message in refused:
        with pytest.raises(ValueError, match=message):
            other.evaluate(WEIGHT, keys, folder=tmp_path)


def test_specs_that_differ_in_radius_share_a_program():
    made = suite([AttackSpec("pgd", epsilon, num_steps=2) for epsilon in (0.1, 0.2)])
    made.evaluate(WEIGHT, KEYS)
    assert len(made.programs._runners) == 1
    pairs = itertools.combinations([SPECS[1], SPECS[2], dataclasses.replace(SPECS[1], num_eot_samples=2)], 2)
    assert all(first.program != second.program for first, second in pairs)


def masked(scale, keys, inputs):
    """Logits that step: their gradient is zero, which the search without gradients does not mind."""
    return jnp.round(40 * inputs) @ WEIGHT * scale


def test_what_beats_pgd_or_stands_a_limitless_attack_is_found():
    specs = [
        AttackSpec("pgd", 0.3, num_steps=2),
        AttackSpec("square", 0.3, options={"num_queries": 30}),
        AttackSpec("pgd", 1.0, num_steps=2),
        AttackSpec("carlini_wagner", num_steps=2, options={"num_binary_steps": 1}),
    ]
    found = suite(specs, masked, targets=None).evaluate(1.0, KEYS)
    told = {finding.check: finding.message for finding in found.findings}
    assert {"gradients", "black_box", "unbounded"} <= set(told)
    assert told["black_box"].startswith("pgd linf 0.3, 2 steps: The square linf 0.3, num_queries 30 breaks")
    assert sum(finding.check == "unbounded" for finding in found.findings) == 2
    assert "! pgd linf 0.3" in found.table()


def test_the_attack_on_the_margin_makes_it_smaller(measured):
    margin = lambda images: np.asarray(losses.margin(jnp.asarray(images) @ WEIGHT, jnp.asarray(LABELS)))
    assert (margin(measured.rows[2].images) < margin(INPUTS)).all()
    assert not np.array_equal(measured.rows[2].images, measured.rows[1].images)


def row(spec, num_standing):
    stands = np.arange(40) < num_standing
    return evaluation.AttackRow(spec, stands, LABELS, None, None, {}, 0.0)


def test_each_attack_stands_beside_those_that_it_should_be_as_good_as():
    pgd, wide = AttackSpec("pgd", 0.1, num_steps=5), AttackSpec("pgd", 0.2, num_steps=5)
    rows = [
        row(AttackSpec("pgd", 0.1, num_steps=5, loss="margin"), 0),
        row(pgd, 20),
        row(dataclasses.replace(pgd, num_steps=10), 5),
        row(AttackSpec("fgsm", 0.1), 8),
        row(dataclasses.replace(pgd, source="other"), 9),
        row(dataclasses.replace(pgd, targeted=True), 0),
        row(dataclasses.replace(pgd, at_mean=True), 0),
        row(wide, 35),
    ]
    found = suite_findings(rows, np.arange(40) < 38, at_mean=False, bounds=(0.0, 1.0))
    told = {(finding.check, finding.message.split(":")[0]) for finding in found}
    named = pgd.label
    assert told == {("budget", named), ("one_step", named), ("black_box", named), ("monotone", wide.label)}
    assert len(found) == 4
    fine = [row(pgd, 5), row(dataclasses.replace(pgd, num_steps=10), 5), row(AttackSpec("fgsm", 0.1), 9), row(wide, 0)]
    assert suite_findings(fine, np.arange(40) < 38, at_mean=False, bounds=(0.0, 1.0)) == []


def test_a_search_that_ends_on_lucky_draws_is_told_apart_from_one_that_finds_nothing():
    spec, right, moved = AttackSpec("carlini_wagner"), np.arange(40) < 38, np.where(np.arange(40) < 30, 1.0, 0.0)
    lucky = dataclasses.replace(row(spec, 20), distances=moved)  # 30 found, of which 20 stand
    checks = lambda own: {f.check for f in suite_findings([own], right, at_mean=False, bounds=(0.0, 1.0))}
    assert checks(lucky) == {"confirmed", "unbounded"}
    nothing = dataclasses.replace(row(spec, 38), distances=0 * moved)
    assert checks(nothing) == {"unbounded"}
    assert checks(dataclasses.replace(row(spec, 0), distances=1 + moved)) == set()


def test_one_call_gives_the_table_of_a_model():
    specs = evaluation.standard_suite(
        0.05, stochastic=True, num_steps=2, num_queries=4, num_eot_samples=2, num_slow_images=8, source="other"
    )
    labels = [spec.label for spec in specs]
    for text in ("2 samples", "margin", "4 steps", "apgd", "square", "made on other", "carlini_wagner", "pgd linf 1,"):
        assert any(text in label for label in labels), text
    found = evaluation.evaluate_attacks(
        jax.random.key(0), noisy, WEIGHT, INPUTS, LABELS, suite=specs, sources={"other": (noisy, -WEIGHT)}
    )
    assert found.worst_accuracy == found.together(0.05).accuracy["worst"] < found.clean_accuracy
    lines = found.table().splitlines()
    assert max(len(line) for line in lines if line.startswith(("! ", "  "))) <= 100  # findings, wrapped
    assert len([line for line in lines if not line.startswith(("! ", "  "))]) == len(specs) + 3
    assert "randomness" not in {finding.check for finding in found.findings}
    targeted = [AttackSpec("fgsm", 0.05, targeted=True)]
    assert evaluation.evaluate_attacks(jax.random.key(0), linear, WEIGHT, INPUTS, LABELS, suite=targeted).rows


def test_a_model_that_answers_nan_has_no_accuracy():
    with pytest.raises(ValueError, match="answers NaN at 40 of 40 examples"):
        suite(SPECS[:1]).evaluate(jnp.nan * WEIGHT, KEYS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attack": "PGD"}, "attack must be one of fgsm, bim, .* got 'PGD'"),
        ({"attack": "pgd"}, "epsilon must be a radius for pgd, got None"),
        ({"attack": "pgd", "epsilon": -0.1}, "epsilon must be at least 0 and finite, got -0.1"),
        ({"attack": "pgd", "epsilon": float("nan")}, "epsilon must be at least 0 and finite, got nan"),
        ({"attack": "carlini_wagner", "norm": "linf"}, "norm must be l2 for carlini_wagner, got 'linf'"),
        ({"attack": "fgsm", "epsilon": 0.1, "num_steps": 3}, "num_steps must be None for fgsm, got 3"),
        ({"attack": "square", "epsilon": 0.1, "loss": "margin"}, "loss must be None for square, got 'margin'"),
        ({"attack": "pgd", "epsilon": 0.1, "loss": "hinge"}, "loss must be one of cross_entropy, margin, dlr"),
        ({"attack": "pgd", "epsilon": 0.1, "num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"attack": "pgd", "epsilon": 0.1, "num_eot_samples": 0}, "num_eot_samples must be at least 1, got 0"),
        ({"attack": "pgd", "epsilon": 0.1, "num_images": 0}, "num_images must be at least 1, or None for all, got 0"),
        ({"attack": "pgd", "epsilon": 0.1, "options": {"steps": 3}}, "options of pgd must be settings .* got steps"),
        ({"attack": "pgd", "epsilon": 0.1, "options": {"norm": "l2"}}, "options of pgd must be settings .* got norm"),
    ],
)
def test_specs_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        AttackSpec(**settings)


@pytest.mark.parametrize("attack", evaluation.ATTACKS)
def test_every_attack_can_be_told_by_a_spec(attack):
    minimal = attack in ("deepfool", "carlini_wagner", "ddn", "fab", "fmn", "sigma_zero", "hop_skip_jump")
    spec = AttackSpec(attack, None if minimal else 0.1)
    assert attack in spec.label
    conditions = spec.conditions()
    assert all(isinstance(value, str | bool | int | float) for value in conditions.values())
    assert conditions["attack"] == attack
    assert ("epsilon" in conditions) == (not minimal)
    if not minimal and attack != "autoattack":
        assert spec.make().epsilon == 0.0


def test_suites_are_refused_by_name():
    with pytest.raises(ValueError, match=r"specs must be attacks that differ, .* got fgsm linf 0.05"):
        suite([SPECS[0], SPECS[0]])
    with pytest.raises(ValueError, match="targets must be given"):
        suite(targets=None)
    with pytest.raises(ValueError, match=r"of one length N >= 1, got \[40, 40, 3\]"):
        suite(targets=TARGETS[:3])
    with pytest.raises(ValueError, match="num_eval_samples must be at least 1, got 0"):
        suite(num_eval_samples=0)
