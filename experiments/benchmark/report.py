"""What the benchmark says: each suite's tables by their columns, its targets, and what else there is to know."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.benchmark.settings import AVX512, LIBRARIES, PEERS, SUITES
from experiments.core.records import Model, Record
from experiments.core.report import Grid, Report, Text

if TYPE_CHECKING:
    import pandas as pd

BUSY = 0.7  # load average from which on the machine counts as busy with something else
PAPER_SWEEP = {"models": 45, "epochs": 200, "images": 60_000}
ASSUMPTIONS = (
    "every step costs what it costs here, at this batch size and precision",
    "the rate holds for the whole run, whatever the number of members on a device",
    "no time for compiling, evaluation and checkpoints",
)
POPULATION_GOALS = {"wide": 0.95, "narrow": 3.0}
"""The population's images a second over the single model's, for each device with arithmetic of its own."""
REFERENCES = {"PGD-20": ("jax", "jax-early"), "eight radii": ("one", "one-early")}
"""The attacks that all others are divided by; else jax."""
ATTACK_GOALS = {
    "PGD-20": (LIBRARIES, {"": 2.2, AVX512: 1.2}),
    "CW 3 x 100": (LIBRARIES, {"": 2.6, AVX512: 1.5}),
    "CW 3 x 100, all steps": (LIBRARIES, {"": 2.6, AVX512: 1.5}),
    "DeepFool": (("torchattacks",), {"": 10.0, AVX512: 10.0}),
}
"""How much faster than the fastest of these, as installed and with AVX-512 forced."""
EIGHT_RADII_GOAL, AUGMENT_GOAL, CORRUPTION_GOAL, IMAGE_GOAL, MFU_GOAL = 5.0, 5.0, 5.0, 0.9, 0.4


class Timed:
    """A row of a record, a model there.

    Args:
      model: of the record.
    """

    def __init__(self, model: Model):
        self.settings, self.details = model.settings, model.details
        self.name, self.label, self.status = self.settings["row"], self.settings["label"], self.details["status"]
        self._first: Mapping[str, Any] = model.values_at()
        self._rounds: list[Mapping[str, Any]] = [each.values for each in model.measurements if each.at]

    @property
    def measured(self) -> bool:
        """Whether there are any numbers."""
        return self.status == "measured"

    def rounds(self, name: str) -> list[float]:
        """A number of each round, or the row's only one; none where there is none."""
        found = [values[name] for values in self._rounds if values.get(name) is not None]
        return found or ([self._first[name]] if self._first.get(name) is not None else [])

    def median(self, name: str) -> float:
        """Of a number's rounds."""
        return median(self.rounds(name))


Rows = Mapping[str, Timed]


def tables_of(record: Record) -> dict[str, dict[str, Timed]]:
    """The rows of a record by table and name."""
    found: dict[str, dict[str, Timed]] = {}
    for row in map(Timed, record.models):
        found.setdefault(row.settings["table"], {})[row.name] = row
    return found


def times(row: Timed, reference: Timed) -> list[float]:
    """A row's time for an image in times of another's, round by round: how much faster the other one is."""
    pairs = zip(reference.rounds("images_per_second"), row.rounds("images_per_second"), strict=True)
    return [other / mine for other, mine in pairs]


def over(row: Timed, reference: Timed) -> list[float]:
    """A row's speed in those of another, round by round, for each device with arithmetic of its own."""
    devices = row.median("own_devices") / reference.median("own_devices")
    return [1 / ratio / devices for ratio in times(row, reference)]


def fastest(rows: Rows, names: Sequence[str]) -> Timed | None:
    """Of those that were measured."""
    known = [rows[name] for name in names if name in rows and rows[name].measured]
    return max(known, key=lambda row: row.median("images_per_second"), default=None)


class Column(NamedTuple):
    """A column of a table.

    Attributes:
      title: over it.
      values: the name of a number, or a function of a row to numbers or a text.
      form: of the median.
      spread: whether the range of the rounds stands beside it.
    """

    title: str
    values: str | Callable[[Timed], Sequence[float] | str]
    form: str = ".2f"
    spread: bool = False

    def cell(self, row: Timed) -> str:
        """A row's text."""
        if not row.measured:
            return "-"
        values = row.rounds(self.values) if isinstance(self.values, str) else self.values(row)
        if isinstance(values, str) or not values:
            return str(values or "-")
        text = f"{median(values):{self.form}}"
        return f"{text} ({min(values):{self.form}}-{max(values):{self.form}})" if self.spread else text


class Table(NamedTuple):
    """A table: rows, columns, the header over the labels, and a row's label."""

    title: str
    rows: Sequence[Timed]
    columns: Sequence[Column]
    corner: str = ""
    label: Callable[[Timed], str] = lambda row: row.label


class Target(NamedTuple):
    """What was promised, and what was measured; met from the target on, or below it."""

    name: str
    target: float
    values: Sequence[float]
    at_most: bool = False

    @property
    def measured(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.measured < self.target if self.at_most else self.measured >= self.target

    def __str__(self) -> str:
        under, verdict = "under " if self.at_most else "", "met" if self.met else "missed"
        return f"{self.name}: {self.measured:.2f}, target {under}{self.target:g}: {verdict}"


Section = Table | Target | str
FIRST, COMPILE = Column("first, s", "first_seconds", ".1f"), Column("compile, s", "compile_seconds", ".1f")
SPEED = Column("images/s (range)", "images_per_second", ",.0f", True)
OF_ALL = SPEED._replace(title="images/s x models (range)")
STEP, SHARES = Column("step, ms", "step_ms"), (Column("of peak", "mfu", ".0%"), Column("XLA's", "mfu_xla", ".0%"))


def versus(title: str, reference: Timed, but: Sequence[str] = (), ratio: Callable[..., list[float]] = times) -> Column:
    """The column that compares all rows but some with one."""
    left_out = (reference.name, *but)
    known = reference.measured
    return Column(title, lambda row: ratio(row, reference) if known and row.name not in left_out else [], spread=True)


def length(record: Record) -> str:
    """Of a measurement."""
    return f"{record.settings['repeats']} rounds of {record.settings['steps']} steps"


def peak(record: Record) -> str:
    """The machine's own matrix rate, and the memory used."""

    def rate(peak: Mapping[str, Any]) -> str:
        return f"{peak['flops_per_second'] / 1e9:.0f} GFLOP/s"

    peak, memory = record.details["matrix_peak"], record.details.get("peak_memory")  # records of old have none
    used = "" if memory is None else f" Peak memory {memory['bytes'] / 2**30:.2f} GiB ({memory['of']})."
    highest = f"; at the highest precision {rate(peak['highest'])}" if "highest" in peak else ""
    return (
        f"{peak['dtype']} matrix peak {rate(peak)} (n = {peak['size']}, median of the rounds; best "
        f"seen {peak['best_seen'] / 1e9:.0f}) at the default precision, the networks' own{highest}.{used}"
    )


def train(record: Record) -> list[Section]:
    """The VIB step beside PyTorch's."""
    config, flops, (rows,) = record.settings, record.details["flops_per_step"], tables_of(record).values()
    jax, eager, best = rows["jax-scan"], fastest(rows, ["eager"]), fastest(rows, PEERS["train"])
    title = f"The VIB train step, batch {config['batch_size']}, {length(record)}"
    columns = [FIRST, SPEED, STEP, *SHARES, versus("JAX is x faster", jax, ["jax-loop"])]
    xla = "" if flops["xla"] is None else f" ({flops['xla'] / 1e9:.3f} as XLA counts, element-wise work included)"
    targets = [Target("share of the float32 matrix peak", 0.65, [jax.median("mfu")])]
    targets += [Target("JAX / eager PyTorch with plain Adam", 2.5, times(eager, jax))] if eager else []
    targets += [Target(f"JAX / the best PyTorch ({best.label})", 1.0, times(best, jax))] if best else []
    return [
        Table(title, list(rows.values()), columns),
        peak(record),
        f"Matrix products of one step: {flops['matmul'] / 1e9:.3f} GFLOP{xla}.",
        *(targets if config["precision"] == "float32" else []),
    ]


def sweep(record: Record) -> list[Section]:
    """A population beside one model."""
    tables, networks = tables_of(record), record.details["tables"]
    shown: list[Section] = []
    targets, bounds = [], []
    for name, rows in tables.items():
        sizes = f"K = {networks[name]['latent_dim']}, {networks[name]['hidden_width']} units"
        parameters, batch = f"{networks[name]['num_parameters']:,} parameters", record.settings["batch_size"]
        columns = [
            COMPILE,
            Column("MiB", lambda row: [each / 2**20 for each in row.rounds("program_bytes")], ",.0f"),
            *(OF_ALL, STEP, *SHARES),
            versus("x one model", rows["single"], ratio=lambda row, one: times(one, row)),
        ]
        title = f"{sizes}, {parameters}, batch {batch}, {length(record)}"
        label = lambda row: row.label + (" *" if row.settings.get("chosen") else "")  # noqa: E731
        shown.append(Table(title, list(rows.values()), columns, label=label))
        chosen = _chosen(rows)
        devices = chosen.median("own_devices")
        each = f", for each of {devices:g} devices" if devices > 1 else ""
        goal = f"{chosen.label} / one model, {sizes}{each}"
        targets.append(Target(goal, POPULATION_GOALS[name], over(chosen, rows["single"])))
        at_peak = 1 / rows["single"].median("mfu")
        bounds.append(f"{goal}: {at_peak:.2f} at 100 % of the matrix peak, which no program exceeds.")
    star = "* chosen by training.choose_members_at_once. MiB: what the program needs of a device."
    speed = _chosen(tables["wide"]).median("images_per_second")
    return [*shown, star, peak(record), *targets, *bounds, projection(networks["wide"], record.settings, speed)]


def _chosen(rows: Rows) -> Timed:
    return next(row for row in rows.values() if row.settings.get("chosen"))


def projection(network: Mapping[str, Any], config: Mapping[str, Any], images_per_second: float) -> str:
    """How long the paper's whole sweep would take, at the measured rate and at the given ones.

    Args:
      network: `flops_per_step` of one model and one batch, with `xla` as XLA counts, or None, and `matmul`, of the
        matrix products; and `bytes_per_step`, as XLA counts, or None.
      config: its `project_flops` and `project_bandwidth` are the given rates, 0 for none; the slower one decides.
      images_per_second: measured.
    """
    images, flops = math.prod(PAPER_SWEEP.values()), network["flops_per_step"]
    each = (flops["matmul"] if flops["xla"] is None else flops["xla"]) / config["batch_size"]
    work, moved = images * each, images * (network["bytes_per_step"] or 0.0) / config["batch_size"]
    hours, rate = images / images_per_second / 3600, images_per_second * each
    told = [f"{hours:,.2f} h at the {rate / 1e9:,.0f} GFLOP/s measured here"]
    given = [(work, config["project_flops"], "FLOP/s"), (moved, config["project_bandwidth"], "bytes/s of memory")]
    if bounds := [amount / rate / 60 for amount, rate, _ in given if rate]:
        at = " and ".join(f"{rate:.3g} {unit}" for _, rate, unit in given if rate)
        told.append(f"no less than {max(bounds):,.1f} minutes at {at}")
    models, epochs, size = PAPER_SWEEP.values()
    return (
        f"The paper's sweep, {models} models x {epochs} epochs x {size:,} images of K = {config['latent_dim']}, is "
        f"{work:.3g} FLOP and {moved:.3g} bytes: {'; '.join(told)}. Assuming that {'; '.join(ASSUMPTIONS)}."
    )


def efficiency(row: Timed, one: Timed) -> list[float]:
    """The share of perfect scaling: a row's rate over that of as many single devices, round by round."""
    return [1 / ratio / row.settings["devices"] for ratio in times(row, one)]


def scaling(record: Record) -> list[Section]:
    """One device, two, four, ..."""
    config, details, devices = record.settings, record.details, record.details["devices"]
    titles = {
        "weak": f"Weak scaling, batch {config['batch_size']} on each device",
        "strong": f"Strong scaling, batch {config['global_batch_size']} over all devices",
    }
    processes = f"{devices['processes']} process{'es' * (devices['processes'] > 1)}"
    told: list[Section] = []
    for name, rows in tables_of(record).items():
        title = f"{titles[name]}, {length(record)}, {devices['total']} devices of {processes}"
        columns = [
            *(COMPILE, SPEED, STEP, *SHARES),
            Column("a process", lambda row: [row.median("images_per_second") / row.settings["processes"]], ",.0f"),
            Column("efficiency", functools.partial(efficiency, one=rows["1"]), spread=True),
            Column("all-reduces", "all_reduces", ".0f"),
        ]
        told.append(Table(title, list(rows.values()), columns, "devices", lambda row: str(row.settings["devices"])))
    if devices["total"] > 1:
        sent = 4 * details["num_parameters"]  # gradients are float32, whatever the precision of the products
        told.append(f"Over several devices a step reduces {sent / 1e6:.1f} MB of gradients.")
    if details["strong_left_out"]:
        counts = ", ".join(map(str, details["strong_left_out"]))
        told.append(f"--global_batch_size={config['global_batch_size']} does not divide over {counts} devices.")
    if details["platform"] == "cpu":
        text = "The devices of a CPU share its cores: efficiency here says what sharding costs, not how it scales."
        told.append(text)
    if devices["total"] == 1:
        flags = "XLA_FLAGS=--xla_force_host_platform_device_count=8 PJRT_NPROC=64"
        told.append(f"There is one device. {flags} before the command makes a CPU eight.")
    return [*told, peak(record)]


def attacks(record: Record) -> list[Section]:
    """Attacks beside other libraries', and many radii."""
    tables, details, network = tables_of(record), record.details, record.details["network"]
    sizes = "-".join(str(size) for size in (network["layers"][0][0], *(layer[1] for layer in network["layers"])))
    told: list[Section] = [
        f"Attacks on {sizes}, {network['dataset']}, {network['num_epochs']} epochs ({network['checkpoint']}), "
        f"{details['clean_accuracy']:.1%} right before the attack; {record.settings['repeats']} rounds."
    ]
    targets = []
    for name, rows in tables.items():
        references = [rows[each] for each in REFERENCES.get(name, ("jax",))]
        names = [each.name for each in references]
        images = Column("images", lambda row: str(row.settings["num_images"]))
        ratios = [versus(f"time / {each.label}", each, names) for each in references]
        columns = [images, FIRST, SPEED, SHARES[0], *ratios, Column("result", _result)]
        told.append(Table(name, list(rows.values()), columns))
        libraries, goals = ATTACK_GOALS.get(name, ((), {}))
        for suffix, goal in goals.items():
            if best := fastest(rows, [library + suffix for library in libraries]):
                label = f"{best.label}{'' if suffix else ', as installed'}"
                targets += [Target(f"{name}: {each.label} / {label}", goal, times(best, each)) for each in references]
        if name == "eight radii":
            found = {each.label: times(rows["curve"], each) for each in references}
            targets += [
                Target(f"time of {name} / {label}", EIGHT_RADII_GOAL, each, True) for label, each in found.items()
            ]
    return [*told, peak(record), *targets]


def _result(row: Timed) -> str:
    if curve := row.details.get("robust_accuracy"):
        return " ".join(f"{value:.0%}" for value in curve)
    if accuracy := row.rounds("robust_accuracy"):
        return f"{accuracy[0]:.1%} stand"
    size = row.rounds("median_l2_all")
    return f"median L2 {size[0]:.3f}" if size and math.isfinite(size[0]) else "most failed"


def augment(record: Record) -> list[Section]:
    """AutoAugment beside torchvision's."""
    config, tables = record.settings, tables_of(record)
    told: list[Section] = []
    for name, rows in tables.items():
        size = rows["jax"].settings["size"]
        title = f"AutoAugment for {name}, {size} x {size}, batch {config['pictures']}"
        title += f", {config['repeats']} rounds of {config['min_seconds']:g} s"
        columns = [Column("first batch, s", "first_seconds"), SPEED, versus("JAX is x faster", rows["jax"])]
        told.append(Table(title, list(rows.values()), columns))
    for each in [row.details["process"] for row in tables["CIFAR-10"].values() if "process" in row.details][:1]:
        threads = f"PyTorch {each['torch']} with {each['threads']} threads"
        told.append(f"torchvision {each['torchvision']}, {threads}, Pillow {each['pillow']}.")
    rows = tables["CIFAR-10"]
    if best := fastest(rows, PEERS["augment"]):
        label = f"CIFAR-10: {rows['jax'].label} / {best.label}"
        told.append(Target(label, AUGMENT_GOAL, times(best, rows["jax"])))
    return told


def corruptions(record: Record) -> list[Section]:
    """19 corruptions beside imagecorruptions'."""
    details, told, targets, missing = record.details, list[Section](), list[Target](), dict[str, str]()
    ways = dict(zip(PEERS["corruptions"], ("one process", "all cores"), strict=True))
    kind = f"batches of {details['images']}, severity {details['severity']} of {details['constants']}"
    for table, rows in tables_of(record).items():
        ours = [row for row in rows.values() if row.name.endswith(" jax")]
        theirs = {way: _beside(rows, way) for way in ways if f"{ours[0].settings['corruption']} {way}" in rows}
        missing |= {way: beside(ours[0]).status for way, beside in theirs.items() if not beside(ours[0]).measured}
        known = [way for way in theirs if way not in missing]
        ratios = {way: _faster(theirs[way]) for way in known}
        columns = [FIRST, SPEED._replace(title="JAX")]
        columns += [Column(f"package, {ways[way]}", _speed(theirs[way]), ",.0f", True) for way in known]
        columns += [Column(f"JAX / {ways[way]}", ratios[way], ".1f", True) for way in known]
        title = f"{table}, {kind}, {record.settings['repeats']} rounds; images/s (range)"
        told.append(Table(title, ours, columns, label=lambda row: row.settings["corruption"]))
        for way in known:
            found = {row.settings["corruption"]: median(ratios[way](row)) for row in ours}
            mean = math.exp(fmean(map(math.log, found.values())))
            missed = ", ".join(name for name, ratio in found.items() if ratio < CORRUPTION_GOAL) or "none"
            text = f"geometric mean of JAX / package, {ways[way]}: {mean:.1f}; less than {CORRUPTION_GOAL:g}: {missed}."
            told.append(f"{table}: {text}")
            least, cores = (
                min(found, key=lambda name: found[name]),
                ways[way].replace("all cores", "a process on each core"),
            )
            name = f"JAX / imagecorruptions in {cores}, {table}, least of {len(found)} ({least})"
            targets.append(Target(name, CORRUPTION_GOAL, [found[least]]))
    targets.sort(key=lambda target: "each core" in target.name)
    return [*told, *(f"{way}: {status}" for way, status in missing.items()), *targets]


def _beside(rows: Rows, way: str) -> Callable[[Timed], Timed]:
    """From a row of JAX to the package's, of the same corruption."""
    return lambda row: rows[f"{row.settings['corruption']} {way}"]


def _speed(beside: Callable[[Timed], Timed]) -> Callable[[Timed], list[float]]:
    return lambda row: beside(row).rounds("images_per_second")


def _faster(beside: Callable[[Timed], Timed]) -> Callable[[Timed], list[float]]:
    return lambda row: times(beside(row), row)


def images(record: Record) -> list[Section]:
    """Convolutional networks beside plain loops."""
    details, told, targets = record.details, list[Section](), list[Target]()
    sheet, measured_peak = details["data_sheet_peak"], details["matrix_peak"]["flops_per_second"]

    def of_sheet(row: Timed) -> list[float]:
        return [share * measured_peak / sheet for share in row.rounds("mfu")] if sheet else []

    for table, rows in tables_of(record).items():
        network = details["tables"][table]
        references = references_of(rows)
        ratios = lambda row, references=references: over(row, references[row.name]) if row.name in references else []  # noqa: E731
        columns = [FIRST, OF_ALL, STEP, *SHARES, Column("of data sheet", of_sheet, ".0%")]
        sizes = f"{network['image_size']} px, batch {network['batch_size']}, {network['precision']}"
        rounds = f"{record.settings['repeats']} rounds of {network['steps']} steps"
        title = f"{table}, {network['num_parameters']:,} parameters, {sizes}, {rounds}"
        told.append(Table(title, list(rows.values()), [*columns, Column("x reference", ratios, spread=True)]))
        flops = network["flops_per_image"]
        xla = "" if flops["xla"] is None else f" ({flops['xla'] / 1e9:.3f} as XLA counts, without padding)"
        way = "is one compiled loop" if network["whole"] else f"is {network['steps']} steps, driven from the host"
        products = f"{flops['products'] / 1e9:.3f} GFLOP of convolutions and products"
        told.append(f"An image's step: {products}{xla}; a stretch {way}.")
        kinds = {"stretch": "training", "population": "the population", "runner": "PGD"}
        for name, other in references.items():
            targets.append(Target(f"{table}: {kinds[name]} / {other.label}", IMAGE_GOAL, over(rows[name], other)))
        if details["platform"] != "cpu" and network["precision"] == "bfloat16" and rows["stretch"].measured:
            of = "data sheet's" if sheet else "measured"
            shares = of_sheet(rows["stretch"]) or rows["stretch"].rounds("mfu")
            targets.append(Target(f"{table}: share of the {of} matrix peak in training", MFU_GOAL, shares))
    sold = [f"The device's data sheet: {sheet / 1e9:,.0f} GFLOP/s in bfloat16, dense."] if sheet else []
    return [*told, peak(record), *sold, *targets]


def references_of(rows: Rows) -> dict[str, Timed]:
    """What a network's rows are held against: the steps from a Python loop, a population the faster single model."""
    single = fastest(rows, ("stretch", "loop"))
    found = {"stretch": rows["loop"], "population": single, "runner": rows["pgd-loop"]}
    return {name: row for name, row in found.items() if row and row.measured and rows[name].measured}


def adversarial(record: Record) -> list[Section]:
    """Adversarial steps in plain ones."""
    details, (rows,) = record.details, tables_of(record).values()
    ratios = Column("x plain (range)", lambda row: times(row, rows["plain"]), spread=True)
    title = f"MLP {details['hidden']}-2K, K = {details['latent_dim']}, batch {record.settings['batch_size']}"
    title += f", {length(record)}; attacks on the whole batch, or half of it"
    name = "one step against PGD-20 on the whole batch, in plain steps"
    return [
        Table(title, list(rows.values()), [COMPILE, STEP._replace(title="step, ms (range)", spread=True), ratios]),
        peak(record),
        Target(name, 21, times(rows["pgd-20"], rows["plain"]), at_most=True),
    ]


REPORTS: Mapping[str, Callable[[Record], list[Section]]] = dict(
    zip(SUITES, (train, sweep, scaling, attacks, augment, corruptions, images, adversarial), strict=True)
)


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """A part for each record: its command and machine, tables, targets."""
    parts = [block for record in records for block in (_origin(record), *map(_block, sections(record)))]
    return Report("Benchmark", frame, parts)


def sections(record: Record) -> list[Section]:
    """Everything there is to say of a record."""
    load = record.details["load_average"]["start"]
    others = f"The load average was {load:.1f} at the start: others ran too and blurred all numbers, PyTorch's most."
    return [*REPORTS[record.settings["suite"]](record), *([others] if load > BUSY else [])]


def _block(section: Section) -> Grid | Text:
    if not isinstance(section, Table):
        return Text(str(section))
    cells: list[list[Any]] = [
        [section.label(row), *(each.cell(row) for each in section.columns)] for row in section.rows
    ]
    for row, line in zip(section.rows, cells, strict=True):
        line[2] = line[2] if row.measured else row.status
    return Grid([section.corner, *(column.title for column in section.columns)], cells, section.title)


def _origin(record: Record) -> Text:
    known, variables = record.environment, record.details.get("variables", {})
    before = "".join(f"{key}={value} " for key, value in variables.items() if key != "JAX_PLATFORMS")
    devices, machine = known["devices"], known["machine"]
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {len(devices)} device{'s' * (len(devices) > 1)} ({devices[0]})"
    )
    versions = f"jax {known['versions']['jax']}, commit {known['commit'][:7]}"
    return Text(f"`{before}{record.command}` on {where}; {versions}.", title=record.file)
