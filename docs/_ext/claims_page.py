"""Tables of all claims of the papers, computed at each build from the committed records, for results/claims and index.

They lie in results/generated/ and are included by the pages. They are made anew if a record or a report's code changes.
"""

import hashlib
import pathlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from record_pages import page_of
from sphinx.application import Sphinx

from experiments.core import records
from experiments.core.render import escape_markdown
from experiments.core.report import Report, Text
from experiments.report import find, statements
from experiments.report.statements import Statement

SHORT = {"vib": "VIB", "ceb": "CEB", "vub": "VUB", "information_theoretic": "theory", "ours": "ours"}
TITLES = SHORT | {"information_theoretic": "the information-theoretic view"}
RUN = {
    "vib": "MNIST: Table 1, Figures 1 to 6; CIFAR-10 features in place of Table 2",
    "ceb": "CIFAR-10 with a small Wide ResNet; common corruptions; MNIST",
    "vub": "IMDB with a MiniLM; CIFAR-10 features; MNIST",
    "information_theoretic": "MNIST, a little CIFAR-10; exact problems for the theorems",
}
"""What was run of each paper, with the number of models behind its claims added."""
PLAIN = {"What the paper states", "The paper's statements"}
"""Titles of sections that say nothing of their claims."""
SIZES = {
    "dataset": "data set",
    "network": "network",
    "depth": "depth",
    "width": "width",
    "hidden_width": "hidden units",
    "num_layers": "layers of each width (N)",
    "latent_dim": "K",
    "encoder": "encoder",
    "num_train_images": "training images",
    "num_epochs": "epochs",
    "num_attack_images": "images attacked",
    "num_fgsm_images": "by FGSM",
    "num_pgd_images": "by PGD",
    "num_cw_images": "by Carlini-Wagner",
    "num_square_images": "by Square",
    "num_attacked": "texts attacked",
}
"""Settings that say how large a run was; 0 is the whole set, or what the network has."""


def write(app: Sphinx) -> None:
    """Writes the parts: verdicts.txt, papers.txt and one file of tables for each paper."""
    parts_folder = pathlib.Path(app.srcdir) / "results" / "generated"
    stamp, current = parts_folder / "stamp", _stamp()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == current:
        return
    parts_folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, list[str]] = {paper: [] for paper in SHORT}
    all_claims: list[Statement] = []
    sizes: dict[str, Counter[str]] = {paper: Counter() for paper in SHORT}
    for name, place in ((each, folder) for each in find.names() for folder in find.folders(each)):
        loaded = find.load(name, place)
        report = find.make(name, place, loaded)
        made = statements.of_report(name, place, report)
        if made:
            all_claims += made
            tables[made[0].paper].append("\n\n".join(_experiment(made, report, loaded, place)))
            sizes[made[0].paper].update(folders=1, models=sum(len(record.models) for record in loaded))
    for paper, parts in tables.items():
        (parts_folder / f"{paper}.txt").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    counts = statements.counts(all_claims)
    (parts_folder / "verdicts.txt").write_text(_verdicts(counts), encoding="utf-8")
    (parts_folder / "papers.txt").write_text(_papers(counts, sizes), encoding="utf-8")
    stamp.write_text(current, encoding="utf-8")


def _stamp() -> str:
    """Of what the parts are made from."""
    paths = [*find.RESULTS.rglob("*.json"), *find.ROOT.rglob("*.py"), pathlib.Path(__file__)]
    seen = (f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in sorted(paths))
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


def _experiment(
    made: Sequence[Statement], report: Report, loaded: Sequence[records.Record], place: pathlib.Path
) -> Iterator[str]:
    """Heading, size of the run, and the claims in a box that can be opened."""
    found = Counter(each.verdict for each in made)
    below = place.relative_to(find.RESULTS).parts
    variant = below[1] if len(below) > 1 and below[1] not in report.title else ""
    yield f"### {escape_markdown(report.title)}{variant and f': {variant}'}"
    intro = report.intro or next((block.text for block in report.blocks if isinstance(block, Text)), "")
    yield f"{'; '.join(_sizes(report, loaded))}. Record: {{doc}}`table </results/records/{page_of(place)}>`."
    yield escape_markdown(intro.replace("`", ""))
    said = ", ".join(f"{found[verdict]} {verdict}" for verdict in statements.VERDICTS if found[verdict])
    body = "\n\n".join(_tables(made))
    yield f"::::{{dropdown}} {len(made)} claims: {said}\n\n{body}\n::::"


def _tables(made: Sequence[Statement]) -> Iterator[str]:
    for group in dict.fromkeys(each.group for each in made):
        if group not in PLAIN and group:
            yield f"**{escape_markdown(group)}**"
        lines = ["| statement | ours | paper | n | verdict |", "| --- | --- | --- | ---: | --- |"]
        for each in (each for each in made if each.group == group):
            cells = [each.text, each.ours, each.theirs, str(each.n), each.verdict]
            lines.append(f"| {' | '.join(map(escape_markdown, cells))} |")
        yield "\n".join(lines)


def _sizes(report: Report, loaded: Sequence[records.Record]) -> Iterator[str]:
    """How large the runs were, by the settings of records and models."""
    models = [model for record in loaded for model in record.models]
    seeds = len({model.seed for model in models})
    yield f"{len(models)} models, {seeds} seed{'s' * (seeds != 1)}"
    for name, shown in SIZES.items():
        values = list(dict.fromkeys(report.frame[name].dropna())) if name in report.frame else []
        if known := [_word(value) for value in values if value != 0]:
            yield f"{shown} {' or '.join(known)}"


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _verdicts(counts: dict[str, Counter[str]]) -> str:
    """Verdicts by paper, narrow enough for a phone."""
    rows = [["", *SHORT.values()], ["---", *["---:"] * len(SHORT)]]
    rows += [[verdict, *(str(counts[paper][verdict]) for paper in SHORT)] for verdict in statements.VERDICTS]
    rows.append(["all", *(str(sum(counts[paper].values())) for paper in SHORT)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _papers(counts: dict[str, Counter[str]], sizes: dict[str, Counter[str]]) -> str:
    """What was run of each paper, and what came of it."""
    rows = [["paper", "what was run", "claims"], ["---"] * 3]
    for paper, run in RUN.items():
        said = ", ".join(f"{counts[paper][each]} {each}" for each in statements.VERDICTS if counts[paper][each])
        link, total = f"{{doc}}`{TITLES[paper]} </results/{paper}>`", sum(counts[paper].values())
        rows.append([link, f"{run}; {sizes[paper]['models']} models", f"{total}: {said}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
