"""Each use of a seed draws numbers of its own, and no module makes keys by hand."""

import ast
import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import experiments
from experiments.core.attacks import suite_keys
from experiments.core.evaluator import Evaluator
from experiments.core.keys import NAMES, number_of, stream
from experiments.core.recipe import Recipe
from experiments.imagenet_features import attack as imagenet_attacks
from experiments.imagenet_features import settings as imagenet_settings
from experiments.mnist_vib.settings import Config
from ib_jax import AttackResult, attacks, data, evaluation, losses, models
from ib_jax.evaluation import attack_suite

SEED, COUNT, FIRST = 3, 4, 2**31
IMAGES, LABELS = np.full((COUNT, 2, 2, 1), 0.5, np.float32), np.arange(COUNT, dtype=np.int32) % 3
FOLDER = pathlib.Path(experiments.__file__).parent
MODULES = {str(path.relative_to(FOLDER).with_suffix("")): ast.parse(path.read_text()) for path in FOLDER.rglob("*.py")}
MODEL = models.make_classifier(models.MLPEncoder(latent_dim=1, hidden=(2,)), num_classes=3)

MAY_MAKE_KEYS = {
    "core/keys": "the streams",
    "core/recipe": "the keys of the initial parameters and of the run, which must not change",
    "exact_ib/run": "the same, of each objective",
    "imdb_vub/encoder": "the weights of the random encoder, which must not change",
    "benchmark/attacks": "only the time counts, here and in the next",
    "benchmark/machine": "",
    "benchmark/images": "",
    "benchmark/transforms": "",
}
MAY_FOLD_NUMBERS = {
    ("core/keys", "number_of(name)"): "the streams",
    ("exact_ib/run", "number"): "the run of each objective, which must not change",
}


def words(keys):
    """Each key as a pair of numbers."""
    return [tuple(row) for row in np.asarray(jax.random.key_data(keys)).reshape(-1, 2).tolist()]


def test_the_names_of_a_seed_give_keys_that_nobody_else_has():
    seed = jax.random.key(SEED)
    small = [jax.random.fold_in(seed, number) for number in range(1000)]
    old = [jax.random.fold_in(jax.random.fold_in(seed, FIRST), number) for number in range(3)]
    others = [seed, jax.random.split(seed), *small[2:], jax.random.fold_in(seed, FIRST), *old]
    known = list(itertools.chain(*map(words, [*others, *(stream(SEED, name) for name in NAMES)])))
    assert len(known) == len(set(known))
    assert len({word for seed in range(20) for name in NAMES for word in words(stream(seed, name))}) == 20 * len(NAMES)
    assert min(number_of(name) for name in NAMES) >= FIRST  # no example, batch or epoch has such a number


def test_halves_of_a_seed_are_its_first_folds():
    """Why small numbers are taken: this is what a fold with 0 or 1 shares with the parameters or the run."""
    seed = jax.random.key(SEED)
    assert words(jax.random.split(seed)) == [words(jax.random.fold_in(seed, number))[0] for number in (0, 1)]


@pytest.mark.parametrize("name", NAMES)
def test_a_traced_seed_gives_the_key_of_an_int(name):
    of_seeds = jax.jit(jax.vmap(lambda seed: stream(seed, name)))(jnp.arange(3))
    assert words(of_seeds) == [words(stream(seed, name))[0] for seed in range(3)]


def test_a_number_is_the_same_in_every_process():
    assert {name: int(number_of(name)) for name in ("evaluation", "judge")} == {
        "evaluation": 4024924960, "judge": 2431151205
    }  # fmt: skip


@pytest.mark.parametrize("name", ["atack", "", "Attack", 0, None])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match=r"name must be one of evaluation, attack, .*, got .*declared in"):
        stream(0, name)


def test_every_name_has_a_use():
    used = {node.value for name, tree in MODULES.items() if name != "core/keys" and "stream" in imported(tree)
            for node in ast.walk(tree) if isinstance(node, ast.Constant)}  # fmt: skip
    assert set(NAMES) <= used


def imported(tree):
    """The names that a module takes from `experiments.core.keys`."""
    froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "experiments.core.keys"]
    return {alias.name for node in froms for alias in node.names}


def is_random(node, name):
    return isinstance(node, ast.Attribute) and ast.unparse(node).endswith(f"random.{name}")


def hand_made(tree):
    """Of each fold with a fixed number, or of a seed's own key, the number as it is written."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        mapped = isinstance(node.func, ast.Call) and any(is_random(each, "fold_in") for each in node.func.args)
        if is_random(node.func, "fold_in") or mapped:
            key, number = node.args
            fixed = ast.unparse(number).isupper() or all(
                isinstance(each, ast.Constant | ast.BinOp | ast.operator | ast.UnaryOp | ast.unaryop)
                for each in ast.walk(number)
            )
            if fixed or any(is_random(each, "key") for each in ast.walk(key)):
                yield ast.unparse(number)


def test_no_module_folds_by_hand():
    found = {(name, number) for name, tree in MODULES.items() for number in hand_made(tree)}
    assert found == set(MAY_FOLD_NUMBERS)


@pytest.mark.parametrize("line, found", [
    ("jax.random.fold_in(key, 2**31)", ["2 ** 31"]),
    ("jax.random.fold_in(key, _JUDGE)", ["_JUDGE"]),
    ("jax.random.fold_in(jax.random.key(seed), number)", ["number"]),
    ("jax.vmap(jax.random.fold_in, (0, None))(keys, -1)", ["-1"]),
    ("jax.vmap(jax.random.fold_in, (None, 0))(key, rows)", []),
    ("jax.random.fold_in(stream(seed, 'attack'), epoch)", []),
])  # fmt: skip
def test_a_fold_by_hand_is_found(line, found):
    assert list(hand_made(ast.parse(line))) == found


def test_no_other_module_makes_a_key_of_a_seed():
    makers = {name for name, tree in MODULES.items() for node in ast.walk(tree)
              if is_random(node, "key") or is_random(node, "PRNGKey")}  # fmt: skip
    assert makers == set(MAY_MAKE_KEYS)


def suite():
    specs, keys = [evaluation.AttackSpec("pgd", 0.1, num_eot_samples=2)], suite_keys(SEED)
    found = evaluation.AttackSuite(specs, models.sampled_apply(MODEL), IMAGES, LABELS, num_eval_samples=2)
    return found.programs, ("_predict",), [
        lambda: found.programs.attack(specs[0], {}, found._first(keys.attack), IMAGES, LABELS),
        lambda: found.programs.answers({}, found._first(keys.judge), IMAGES),
        lambda: found._model_findings({}, keys, False),
    ]  # fmt: skip


def imagenet():
    found = imagenet_attacks.Attacks(
        imagenet_settings.FeaturesConfig(attack_batch_size=COUNT, cw_share=1.0), lambda *args: None,
        data.ArraySource(data.Split(IMAGES, LABELS)), num_images=COUNT, stochastic=True,
    )  # fmt: skip
    return found.programs, ("_predict",), [
        lambda: found.transfer_source({}, suite_keys(SEED), stochastic=False).images(found.specs[-4], IMAGES, LABELS),
        lambda: found.answers({}, suite_keys(SEED), np.arange(COUNT), IMAGES),
    ]  # fmt: skip


@pytest.mark.parametrize("make", [suite, imagenet])
def test_evaluation_attack_judge_and_check_share_no_example_s_key(make, monkeypatch):
    seen = []

    def attack(params, keys, inputs, *args, **settings):
        seen.append(keys)
        return AttackResult(inputs, np.zeros(len(inputs), bool))

    def predict(params, keys, inputs):
        seen.append(keys)
        return np.zeros((len(inputs), 2) if make is imagenet else len(inputs), np.int32)

    def check(keys, *args, **settings):
        seen.append(keys)
        return []

    monkeypatch.setattr(attacks, "Runner", lambda *args, **settings: attack)
    monkeypatch.setattr(evaluation, "check_model", check)
    monkeypatch.setattr(attack_suite, "check_model", check)
    found, predicts, uses = make()
    for name in predicts:
        monkeypatch.setattr(found, name, predict)
    split = data.Split(IMAGES, LABELS)
    evaluator = Evaluator(Recipe(Config(seed=SEED, batch_size=COUNT), data.Dataset("", split, None, split, 3)))
    seen.append(losses.per_example_keys(evaluator._key, COUNT))
    for number, use in enumerate(uses, 2):
        use()
        assert len(seen) == number
    known = [set(words(keys)) for keys in seen]
    assert all(len(keys) == COUNT for keys in known)
    assert len(set.union(*known)) == COUNT * len(seen)
