"""The tables and the paper's statements, from records whose numbers are made up and all differ."""

import json

import pytest

from experiments.ib_adversarial_training import attack_settings as names
from experiments.ib_adversarial_training import paper
from experiments.ib_adversarial_training import table as tables

PLACES = {("vib", "none"): 1, ("vib", "fgsm"): 2, ("cross_entropy", "none"): 3, ("cross_entropy", "fgsm"): 4}
SEEDS = (10, 9)  # by name the 10 comes first


def accuracy(objective, adversary, seed, column):
    """A share that no other cell has."""
    return PLACES[objective, adversary] / 10 + seed / 1000 + column / 10_000


def rate(adversary, seed, column):
    return 40.0 + seed - 20 * (adversary == "fgsm") + column


def record(objective, adversary, seed):
    def row(column, attack, epsilon):
        bits = rate(adversary, seed, column) if objective == "vib" else None
        share = accuracy(objective, adversary, seed, column)
        return {"attack": attack, "epsilon": epsilon, "accuracy": share, "rate_bits": bits, "median_l2": 1.0 + column}

    _, *columns = paper.COLUMNS
    extra = [("BIM", 0.3), ("PGD", 0.3), (names.CW_EOT, None)]
    honest = {name: accuracy(objective, adversary, seed, 50 + index) for index, name in enumerate(tables.BESIDE)}
    honest[names.PGD] = 0.99  # beside the one with EOT it does not count
    config = {"objective": objective, "beta": 1e-3, "adversary": adversary, "seed": seed}
    return {
        "config": config,
        "clean_accuracy": accuracy(objective, adversary, seed, 0),
        "clean_rate_bits": None,
        "attacks": [row(index, *column) for index, column in enumerate([*columns, *extra], 1)],
        "honest": [{"epsilon": 0.3, "accuracy": honest}],
    }


@pytest.fixture
def groups(tmp_path):
    for objective, adversary in PLACES:
        for seed in SEEDS:
            made = record(objective, adversary, seed)
            (tmp_path / f"{objective}_{adversary}_seed{seed}.json").write_text(json.dumps(made))
    return tables.read(tmp_path)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_records_are_grouped_in_order_of_their_seeds(groups):
    assert set(groups) == {(kind, 1e-3 if kind == "vib" else 0.0, adversary) for kind, adversary in PLACES}
    assert all([one["config"]["seed"] for one in own] == [9, 10] for own in groups.values())


def test_first_table_has_rates_in_bits_then_accuracies_in_percent(groups):
    rates_plain, rates_against, plain, against = map(cells, tables.first_table(groups, "digits")[2:])
    fgsm = paper.COLUMNS.index(("FGSM", 0.3))
    assert rates_plain[3] == f"{49.5 + fgsm:.1f} ± 0.7"  # the mean over seeds 9 and 10
    assert rates_against[3] == f"{29.5 + fgsm:.1f} ± 0.7"
    assert plain[3] == f"{100 * (0.1 + 0.0095 + fgsm / 10_000):.1f} ± 0.1"
    assert against[3] == f"{100 * (0.2 + 0.0095 + fgsm / 10_000):.1f} ± 0.1"
    assert rates_against[4:] == ["-", "-"]  # nothing was trained against BIM or PGD


def test_second_table_has_the_papers_columns_and_rows(groups):
    lines = [cells(line) for line in tables.second_table(groups, "mnist")]
    assert lines[0][1:] == ["clean", "FGSM 0.1", "FGSM 0.3", "FGSM 0.5", "DeepFool", "CW", "BIM 0.2", "PGD 0.2"]
    order = [("vib", "none"), ("cross_entropy", "none"), ("vib", "fgsm"), ("cross_entropy", "fgsm")]
    for line, (objective, adversary) in zip(lines[2:], order, strict=True):
        for column, cell in enumerate(line[1:]):
            ours = 100 * (accuracy(objective, adversary, 9, column) + accuracy(objective, adversary, 10, column)) / 2
            theirs = paper.OBJECTIVES["mnist"][objective, adversary][column]
            assert cell == f"{ours:.1f} ± 0.1 ({theirs:g})"


def test_beside_table_has_each_attack_of_a_radius(groups):
    line = next(cells(line) for line in tables.beside_table(groups)[2:] if "| IB + FGSM" in line)
    shares = [100 * (accuracy("vib", "fgsm", 9.5, 50 + index)) for index in range(len(tables.BESIDE))]
    assert line[:2] == ["0.3", "IB + FGSM, beta 0.001"]
    assert line[2:] == [*(f"{share:.1f} ± 0.1" for share in shares), "5.00 ± 0.00", "11.00 ± 0.00"]


def find(claims, *words):
    (found,) = [claim for claim in claims if all(word in claim.text for word in words)]
    return found


def test_statements_compare_what_they_say_seed_by_seed(groups):
    claims = tables.claims(groups, "mnist")
    fgsm = paper.COLUMNS.index(("FGSM", 0.3))
    found = find(claims, "I(X';T')", "FGSM")
    assert found.larger == [rate("none", seed, fgsm) for seed in (9, 10)]
    assert found.smaller == [rate("fgsm", seed, fgsm) for seed in (9, 10)]
    assert found.paper == pytest.approx(32.70 - 25.88)
    found = find(claims, "accuracy under FGSM is larger with it")
    assert found.larger == [100 * accuracy("vib", "fgsm", seed, fgsm) for seed in (9, 10)]
    assert found.smaller == [100 * accuracy("vib", "none", seed, fgsm) for seed in (9, 10)]
    assert found.paper == pytest.approx(91.54 - 59.87)
    found = find(claims, "above CE under PGD 0.2", "both trained")
    assert found.larger == [100 * accuracy("vib", "fgsm", seed, 7) for seed in (9, 10)]
    assert found.smaller == [100 * accuracy("cross_entropy", "fgsm", seed, 7) for seed in (9, 10)]
    assert found.paper == pytest.approx(56.65 - 21.36)
    worst = 50 + tables.BESIDE.index(names.WORST)
    found = [claim for claim in claims if "worst of all attacks at 0.3" in claim.text and "both" not in claim.text]
    assert found[0].larger == [100 * accuracy("vib", "none", seed, worst) for seed in (9, 10)]
    assert found[0].smaller == [100 * accuracy("cross_entropy", "none", seed, worst) for seed in (9, 10)]
    assert found[0].paper is None


def test_the_papers_differences_belong_to_its_data_sets(groups):
    assert all(claim.paper is None for claim in tables.claims(groups, "digits"))
    found = tables.claims(groups, "cifar10")
    assert find(found, "I(X';T')", "FGSM").paper is None
    assert find(found, "above CE under FGSM 0.1", "sample (points)").paper == pytest.approx(34.92 - 17.33)
