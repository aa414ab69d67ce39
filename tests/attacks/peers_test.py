"""The attacks beside the same ones of other libraries, on the same weights; and the table of such a comparison."""

import io
import json
import math
import pathlib
from typing import Any

import jax
import numpy as np
import pytest
from rich.console import Console

from experiments.attack_comparison import peers as attack_peers
from experiments.attack_comparison import run as attack_comparison
from experiments.attack_comparison import table as attack_comparison_table
from experiments.attack_comparison import victim as attack_victim
from experiments.attack_comparison.rows import Row, rows
from experiments.attack_comparison.settings import GROUPS, ComparisonConfig
from experiments.attack_comparison.victim import Judge, Victim
from experiments.core.app import Session

LIBRARIES = ("torchattacks", "foolbox", "pyautoattack")
SMALL = {"num_epochs": 20, "hidden_width": 64, "num_queries": 300, "cw_steps": 100, "cw_binary_steps": 4}
SLACK = 2  # images by which the luck of a random start may decide on so few of them


def tiny_victim() -> Victim:
    """A linear network on five images of two pixels: class 0 where the first pixel is the brighter one."""
    kernel, bias = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), np.zeros(2, np.float32)
    images = np.array([[0.8, 0.2], [0.58, 0.42], [0.3, 0.7], [0.9, 0.1], [0.5, 0.4]], np.float32).reshape(5, 2, 1, 1)
    labels = np.array([0, 0, 1, 1, 0])  # the fourth is wrong from the start

    def apply_fn(params: Any, keys: jax.Array, inputs: jax.Array) -> jax.Array:
        return (2 * inputs.reshape(len(inputs), 2) - 1) @ params

    description = {"dataset": "tiny", "objective": "cross_entropy", "num_epochs": 0}
    return Victim(apply_fn, kernel, [(kernel, bias)], images, labels, description)


def test_the_judge_counts_only_what_stays_in_the_ball() -> None:
    judge = Judge(tiny_victim(), 5)
    assert judge.correct.tolist() == [True, True, True, False, True]
    moved = judge.images.copy()
    moved[0] = np.array([0.4, 0.6]).reshape(2, 1, 1)  # 0.4 away
    moved[1] = np.array([0.45, 0.55]).reshape(2, 1, 1)  # 0.13 away
    moved[2] = np.nan
    moved[4] = 0.0  # the answer of an attack that found nothing
    found = judge(moved, norm="linf", epsilon=0.2)
    assert (found["robust_accuracy"], found["outside"]) == (pytest.approx(3 / 5), 3)
    found = judge(moved, norm="l2")
    assert (found["robust_accuracy"], found["outside"], found["num_correct"]) == (pytest.approx(2 / 5), 1, 4)
    assert found["median_l2"] == pytest.approx((0.4 + 0.13) / 2 * math.sqrt(2))
    assert found["median_l2_all"] == pytest.approx(0.4 * math.sqrt(2))  # 0.13, 0.4 and two failures
    moved[2] = judge.images[2].mean()  # a tie, which goes to the first class
    moved[0] = judge.images[0].mean()
    found = judge(moved, norm="l2")
    assert (found["num_correct"], found["success_rate"], found["on_boundary"]) == (4, 2 / 4, 1)
    assert found["boundary"]["success_rate"] == 3 / 4
    fewer = judge(moved[:2], norm="linf", epsilon=0.2)
    assert (fewer["robust_accuracy"], fewer["num_correct"]) == (0.5, 2)


def median(size: float, on_boundary: float) -> dict[str, Any]:
    return {"median_l2_all": size, "boundary": {"median_l2_all": on_boundary}}


def row(epsilon: float | None, tolerance: float) -> Row:
    return Row("pgd", "PGD", "l2", epsilon, {}, None, {}, tolerance)


def test_a_target_is_met_by_a_little_more_or_by_less() -> None:
    for ours, met in ((0.2, True), (0.304, True), (0.305, True), (0.306, False)):
        found = attack_comparison.compare(row(0.1, 0.005), {"robust_accuracy": ours}, {"robust_accuracy": 0.3})
        assert found == {"difference": pytest.approx(ours - 0.3), "met": met}
    for ours, theirs, met in ((1.0, 2.0, True), (2.03, 2.0, True), (2.05, 2.0, False), (math.inf, 2.0, False)):
        found = attack_comparison.compare(row(None, 0.02), median(ours, 1.0), median(theirs, 2.0))
        assert (found["difference"], found["met"]) == (pytest.approx(ours / theirs - 1), met)
        assert (found["boundary_difference"], found["boundary_met"]) == (pytest.approx(-0.5), True)
    found = attack_comparison.compare(row(None, 0.02), median(1.0, 1.0), median(math.inf, 0.9))
    assert (found["met"], found["boundary_met"]) == (True, False)
    assert math.isnan(found["difference"])


def test_every_attack_is_compared_with_attacks_that_the_worker_knows() -> None:
    made = rows(ComparisonConfig())
    assert {row.group for row in made} == set(GROUPS)
    for row in made:
        assert row.peers
        for peer in row.peers:
            library, name = peer.split(".")
            assert name in attack_peers.ATTACKS[library]
    assert {row.group for row in rows(ComparisonConfig(attacks="cw,fab"))} == {"cw", "fab"}


@pytest.mark.parametrize("wrong", [{"attacks": "pgd,jsma"}, {"attacks": ""}, {"num_images": 0}, {"cw_steps": 0}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="--"):
        ComparisonConfig(**wrong)


def test_the_record_and_its_table_without_the_other_libraries(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attack_peers, "missing", lambda library: f"{library} is away")
    output, printed = tmp_path / "tiny.json", io.StringIO()
    config = ComparisonConfig(attacks="fgsm,deepfool", output=str(output))
    attack_comparison.run(
        config, Session(console=Console(file=printed, width=200), command="the command"), victim=tiny_victim()
    )
    record = json.loads(output.read_text())
    assert record["command"] == "the command"
    assert record["clean_accuracy"] == pytest.approx(4 / 5)
    fgsm, l2, linf = record["rows"]
    assert fgsm["ours"]["robust_accuracy"] == pytest.approx(2 / 5)  # those 0.3 and 0.2 from the boundary
    assert (l2["measure"], linf["measure"]) == ("median_l2_all", "median_linf_all")
    assert l2["ours"]["median_l2_all"] == pytest.approx(0.08 * math.sqrt(2), rel=0.03)
    assert linf["ours"]["median_linf_all"] == pytest.approx(0.08, rel=0.03)
    assert fgsm["peers"]["torchattacks.FGSM"]["status"] == "torchattacks is away"
    table = (tmp_path / "table.md").read_text()
    assert "**tiny**, first 5 test images, 80.0% classified right" in table
    assert "| FGSM, L-inf | 0.1 | 40.0% | foolbox.LinfFastGradientAttack | foolbox is away | - | - |" in table
    assert "Targets met: 0 of 0." in table
    assert "no other library" in printed.getvalue()


def test_the_table_of_a_record() -> None:
    network = {"dataset": "mnist", "objective": "cross_entropy", "num_epochs": 20}
    ball = {"name": "PGD-40", "norm": "linf", "epsilon": 0.1, "measure": "robust_accuracy"}
    theirs = {"status": "measured", "robust_accuracy": 0.3, "outside": 2, "difference": -0.05, "met": True}
    ball |= {"ours": {"robust_accuracy": 0.25, "outside": 0}, "peers": {"foolbox.LinfPGD": theirs}}
    free = {"name": "DeepFool", "norm": "l2", "epsilon": None, "measure": "median_l2_all"}
    close = {"status": "measured", "median_l2_all": 1.25, "difference": 0.04, "met": False, "not_finite": 3}
    close |= {"on_boundary": 7, "num_correct": 983, "boundary": {"median_l2_all": 1.2}}
    close |= {"boundary_difference": 0.083, "boundary_met": False}
    failed = {"status": "measured", "median_l2_all": None, "difference": None, "met": True}
    free |= {"ours": {"median_l2_all": 1.3}, "peers": {"torchattacks.DeepFool": close, "foolbox.X": failed}}
    table = attack_comparison_table.render(
        [
            {
                "network": network,
                "peers": {"torch": "2.13.0", "foolbox": "3.3.4", "threads": 2},
                "num_images": 1000,
                "clean_accuracy": 0.983,
                "rows": [ball, free],
            }
        ]
    )
    assert "**mnist**, first 1000 test images, 98.3% classified right" in table
    assert "torch 2.13.0, foolbox 3.3.4" in table
    assert "| PGD-40, L-inf | 0.1 | 25.0% | foolbox.LinfPGD | 30.0% | -5.0 points | met |" in table
    assert "| DeepFool, L2 | smallest | 1.3000 | torchattacks.DeepFool | 1.2500 | +4.0 % | **missed** |" in table
    assert "| DeepFool, L2 | smallest | 1.3000 | foolbox.X | infinite | - | met |" in table
    assert "Targets met: 2 of 3." in table
    assert "torchattacks.DeepFool: 7 of 983 images end on the boundary itself" in table
    assert "their median would be 1.2000, ours beside it +8.3 %, the target **missed**." in table
    assert "PGD-40, L-inf, radius 0.1, foolbox.LinfPGD: 2 images outside" in table
    assert "DeepFool, L2, smallest, torchattacks.DeepFool: 3 images with a NaN" in table


def test_a_workdir_without_a_finished_run_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="no finished run"):
        attack_victim.from_workdir(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({"config": {"objective": "vib"}}))
    with pytest.raises(ValueError, match=r"must be deterministic, .*got vib"):
        attack_victim.from_workdir(tmp_path)


@pytest.mark.slow
def test_every_attack_is_as_strong_as_in_the_other_libraries(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in LIBRARIES:
        if reason := attack_peers.missing(library):
            pytest.skip(f"{library}: {reason}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # two threads on busy cores wait for each other a hundred times as long
    config = ComparisonConfig(output=str(tmp_path / "digits.json"), **SMALL)  # type: ignore[arg-type]
    printed = io.StringIO()
    record = attack_comparison.run(config, Session(console=Console(file=printed, width=200)))
    missed = []
    for compared in record["rows"]:
        for peer, theirs in compared["peers"].items():
            assert theirs["status"] == "measured", (compared["name"], peer)
            assert theirs["num_correct"] == compared["ours"]["num_correct"]
            slack = 0.0 if compared["epsilon"] is None else SLACK / record["num_images"]
            if not theirs["met"] and not theirs["difference"] <= compared["tolerance"] + slack:
                missed.append(f"{compared['name']} {compared['norm']} {compared['epsilon']} {peer}")
        assert compared["ours"]["outside"] == 0
    assert not missed, printed.getvalue()
    for compared in record["rows"]:  # the network in PyTorch gives the same answers
        if compared["group"] == "autoattack":
            clean = compared["peers"]["pyautoattack.AutoAttack"]["by_its_own_account"]["clean"]
            assert clean == pytest.approx(record["clean_accuracy"], abs=1e-4)
