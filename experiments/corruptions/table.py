"""Make the table and the figure of trained models under common corruptions from their records.

Run:      python -m experiments.corruptions.table FOLDER
Reads:    *.json of FOLDER, each made by `experiments.corruptions`.
Leaves:   table.md, laid out as Table 1 of the CEB paper, and figure3.png beside them.
"""

import functools
import json
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.markdown import Markdown

from experiments.cifar10_ceb.table import KINDS, accuracy, cell, title
from experiments.core import image_attacks_config as names
from experiments.corruptions import paper as corruptions_paper
from ib_jax import corruptions, evaluation

Record = Mapping[str, Any]


class Group(NamedTuple):
    """The records of a model, one for each seed.

    Attributes:
      network: its architecture.
      objective: what it was trained by.
      rho: None for cross-entropy.
      records: one for each seed.
    """

    network: str
    objective: str
    rho: float | None
    records: Sequence[Record]


class Row(NamedTuple):
    """A row of the table, and a panel of the figure.

    Attributes:
      key: as in `corruptions_paper`.
      label: what it is called.
      value: (record) -> a share, or None where it was not measured.
      summary: whether it sums up others, or is of clean images.
    """

    key: str
    label: str
    value: Callable[[Record], float | None]
    summary: bool = False


def read_groups(folder: pathlib.Path) -> list[Group]:
    """The models of a folder of records: by network, cross-entropy first, then from weak to strong bottlenecks.

    Raises:
      FileNotFoundError: there is none.
    """
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    found = [record for record in found if record.get("experiment") == "corruptions"]
    if not found:
        raise FileNotFoundError(f"no record in {folder}; run python -m experiments.corruptions first")
    found.sort(key=lambda r: (r["network"], r["rho"] is not None, r["objective"], -(r["rho"] or 0.0), r["seed"]))
    groups: dict[tuple[str, str, float | None], list[Record]] = {}
    for record in found:
        groups.setdefault((record["network"], record["objective"], record["rho"]), []).append(record)
    return [Group(*key, records) for key, records in groups.items()]


def make(folder: pathlib.Path) -> str:
    """Writes table.md and figure3.png into the folder; the text of the table."""
    groups = read_groups(folder)
    text = _text(groups)
    (folder / "table.md").write_text(text)
    from experiments.corruptions import figure as corruptions_figure  # matplotlib takes a second to import

    corruptions_figure.draw(folder / "figure3.png", groups)
    return text


def baseline(groups: Sequence[Group]) -> Group | None:
    """The cross-entropy model that mCE is relative to where AlexNet's figures do not apply."""
    return next((group for group in groups if group.rho is None), None)


def is_best(group: Group, groups: Sequence[Group]) -> bool:
    """Whether its rho is rho*: that of the least clean error among bottlenecks of its kind, of several the lowest."""
    if group.rho is None:
        return False
    same = [g for g in groups if g.rho is not None and (g.network, g.objective) == (group.network, group.objective)]
    return group is min(same, key=lambda g: (statistics.fmean(r["clean_error"] for r in g.records), g.rho))


def rows(groups: Sequence[Group]) -> list[Row]:
    """What was measured, in the order of the paper's Table 1; the extra corruptions after the 15."""
    first, relative = groups[0].records[0], _relative(groups)
    found = [Row("clean", "clean", lambda record: record["clean_error"], True)]
    if "average_error" in first:
        found.append(Row("mce", "mCE", relative, True))
        found.append(Row("average", "average of the 15", lambda record: record.get("average_error"), True))
    found += [
        Row(name, name.replace("_", " "), functools.partial(_mean_error, name=name))
        for name in (*corruptions.CORRUPTIONS, *corruptions.EXTRA_CORRUPTIONS)
        if name in first["errors"]
    ]
    if any("imagenet_a_error" in record for group in groups for record in group.records):
        found.append(Row("imagenet_a", "ImageNet-A", lambda record: record.get("imagenet_a_error")))
    if "robustness" in first:
        for norm, radii in (("l2", first["settings"]["l2_epsilons"]), ("linf", [first["settings"]["linf_epsilon"]])):
            found += [
                Row(
                    f"pgd_{norm}",
                    f"{names.TARGETED} {'L2' if norm == 'l2' else 'L-inf'} {radius:g}",
                    functools.partial(_pgd_error, norm=norm, radius=radius),
                )
                for radius in radii
            ]
    return found


def _mean_error(record: Record, name: str) -> float | None:
    return statistics.fmean(record["errors"][name]) if name in record["errors"] else None


def _pgd_error(record: Record, norm: str, radius: float) -> float | None:
    right = accuracy(record["robustness"], names.TARGETED, norm, radius) if "robustness" in record else None
    return None if right is None else 1.0 - right


def _relative(groups: Sequence[Group]) -> Callable[[Record], float | None]:
    """mCE of a record: the one that it holds, relative to AlexNet; or else relative to `baseline`."""
    plain = baseline(groups)
    means: dict[str, float] = {}
    if plain is not None:
        for name in corruptions.CORRUPTIONS:
            known = [error for record in plain.records if (error := _mean_error(record, name)) is not None]
            means |= {name: statistics.fmean(known)} if known and any(known) else {}

    def mce(record: Record) -> float | None:
        if "mce" in record:
            return float(record["mce"])
        if "average_error" not in record or len(means) < len(corruptions.CORRUPTIONS):
            return None
        errors = {name: record["errors"][name] for name in corruptions.CORRUPTIONS}
        return evaluation.mean_corruption_error(errors, baseline=means)

    return mce


def _text(groups: Sequence[Group]) -> str:
    first = groups[0].records[0]
    source = "the published ones" if first["settings"]["published"] else "made here on the device (frost is made up)"
    lines = [
        f"# {first['dataset']} under common corruptions\n",
        f"Errors in per cent at the mean code, as in the paper, on the first {first['num_images']} test images; under "
        f"corruptions, {source}, with the constants for {first['constants']}, mean of five severities.\n",
        _mce_text(groups) + "\n",
        *_main_table(groups),
        "",
        "(*) rho*, the strength of the least clean error, chosen on test images, as in the paper.\n",
    ]
    if any(_paper_key(group) in corruptions_paper.TABLE for group in groups):
        lines.append(
            "The paper's columns are its Table 1 (AutoAugment but for -aa; PGD at a random target, epsilon 16, 20 "
            "steps), as far as its text is legible. Its caption of Figure 4 says that L-inf baselines exceed 99.9 %, "
            "which in the table the row of L2 does.\n"
        )
    lines += _robustness(groups)
    commits = sorted({record["environment"]["commit"][:9] for group in groups for record in group.records})
    lines.append(f"Evaluated at commit {', '.join(commits)}; `{first['command']}`.")
    return "\n".join(lines) + "\n"


def _mce_text(groups: Sequence[Group]) -> str:
    first = groups[0].records[0]
    if "average_error" not in first:
        return "Not all of the 15 corruptions were measured, so there is neither their average nor mCE."
    if "mce" in first:
        return "mCE is relative to AlexNet on ImageNet-C."
    plain = baseline(groups)
    if plain is None:
        return "mCE would be relative to a cross-entropy model, of which there is none here."
    return (
        f"mCE is relative to the cross-entropy model here ({plain.network}), which so has 100: there are AlexNet's "
        "figures for ImageNet alone. The paper's on CIFAR-10, 61.2 at rho = 5 and 52.0 at rho = 0, are relative to "
        "another network and cannot be compared."
    )


def _paper_key(group: Group) -> tuple[str, str]:
    """Where the paper's Table 1 has such a model: the same network on other images is none of its."""
    known = group.records[0]["dataset"] == "imagenet2012"
    return (group.network if known else "", group.objective)


def _measured(group: Group, row: Row) -> str:
    return cell([row.value(record) for record in group.records])


def _printed(paper: Mapping[str, float], row: Row) -> str:
    return f"{paper[row.key]:.1f}" if row.key in paper else "-"


def _main_table(groups: Sequence[Group]) -> list[str]:
    columns: list[tuple[str, str, str, Callable[[Row], str]]] = []
    for index, group in enumerate(groups):
        rho = "NA" if group.rho is None else f"{group.rho:g}" + (" (*)" if is_best(group, groups) else "")
        what = title({"objective": group.objective, "rho": None})
        columns.append((group.network, what, rho, functools.partial(_measured, group)))
        key = _paper_key(group)
        last = not any(_paper_key(other) == key for other in groups[index + 1 :])
        if last and key in corruptions_paper.TABLE:
            rho = "NA" if group.rho is None else str(corruptions_paper.RHO.get(key, "?"))
            columns.append(
                (f"paper: {group.network}", what, rho, functools.partial(_printed, corruptions_paper.TABLE[key]))
            )
    table = [
        ["", *(network for network, _, _, _ in columns)],
        ["---", *("---:" for _ in columns)],
        ["objective", *(what for _, what, _, _ in columns)],
        ["rho", *(rho for _, _, rho, _ in columns)],
        *([row.label, *(value(row) for _, _, _, value in columns)] for row in rows(groups)),
    ]
    return ["| " + " | ".join(line) + " |" for line in table]


def _robustness(groups: Sequence[Group]) -> list[str]:
    """Every attack beside each other: PGD alone says little."""
    attacked = [group for group in groups if all("robustness" in record for record in group.records)]
    if not attacked:
        return []
    first = attacked[0].records[0]["robustness"]
    at, settings = first["at_radius"], attacked[0].records[0]["settings"]
    table = [["model", *KINDS], ["---"] * (len(KINDS) + 1)]
    for group in attacked:
        found = [record["robustness"]["at_radius"]["accuracy"] for record in group.records]
        table.append([f"{group.network}, {title(group.records[0])}", *(cell([f.get(k) for f in found]) for k in KINDS)])
    lines = [
        f"## Every attack at L-inf {at['epsilon']:g}: accuracy on the same {at['num_images']} images\n",
        "A white-box number above that of transfer or Square is no robustness; *worst of all* counts an image only if "
        "it stands under each. PGD in the table above is on "
        f"{first['num_images']} images, with steps of {settings['pgd_path']:g} epsilon / n.\n",
        *("| " + " | ".join(line) + " |" for line in table),
        "",
        "What the checks found:\n",
    ]
    for group in attacked:
        for record in group.records:
            found = [finding["message"] for finding in record["robustness"]["findings"]]
            name = f"{group.network}, {title(record)}, seed {record['seed']}"
            lines.append(f"* {name}: {'; '.join(found) or 'nothing'}")
    return [*lines, ""]


def main(arguments: Sequence[str]) -> None:
    """Makes the table of a folder of records."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.exit((__doc__ or "").strip())
    try:
        Console().print(Markdown(make(pathlib.Path(arguments[0]))))
    except FileNotFoundError as error:
        sys.exit(f"corruptions_table: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
