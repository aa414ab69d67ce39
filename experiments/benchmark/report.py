"""What the benchmark says: each suite's tables by their columns, its targets, and what else there is to know."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.benchmark import cold, distances, estimators
from experiments.benchmark.settings import AVX512, LIBRARIES, PEERS, SUITES
from experiments.benchmark.tables import (
    COMPILE,
    FIRST,
    OF_ALL,
    PEAK,
    SHARES,
    SPEED,
    STEP,
    Columns,
    Rows,
    Timed,
    column,
    computed,
    faster,
    fastest,
    over,
    table,
    tables_of,
    target,
)
from experiments.core.records import Record
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
TPU_RATE = 8000
"""Images/s of a TPU v3-8 training ResNet-50."""
EIGHT_RADII_GOAL, AUGMENT_GOAL, CORRUPTION_GOAL, IMAGE_GOAL, MFU_GOAL = 5.0, 5.0, 5.0, 0.9, 0.4


Section = Grid | str


def length(record: Record) -> str:
    """Of a measurement."""
    return f"{record.settings['repeats']} rounds of {record.settings['steps']} steps"


def matrix_peak(record: Record) -> str:
    """The machine's own matrix rate, and the memory used."""
    peak, memory = record.details["matrix_peak"], record.details.get("peak_memory")  # records of old have none
    used = "" if memory is None else f" Peak memory {memory['bytes'] / 2**30:.2f} GiB ({memory['of']})."
    highest = ""
    if "highest" in peak:
        highest = f"; at the highest precision {peak['highest']['flops_per_second'] / 1e9:.0f} GFLOP/s"
    return (
        f"{peak['dtype']} matrix peak {peak['flops_per_second'] / 1e9:.0f} GFLOP/s (n = {peak['size']}, median of the "
        f"rounds; best seen {peak['best_seen'] / 1e9:.0f}) at the default precision, the networks' own{highest}.{used}"
    )


def as_xla_counts(flops: float | None, what: str) -> str:
    """FLOPs in brackets, if XLA says."""
    return "" if flops is None else f" ({flops / 1e9:.3f} as XLA counts, {what})"


# ---- the suites ----


def train(record: Record) -> list[Section]:
    """The VIB step beside PyTorch's."""
    config, flops, (rows,) = record.settings, record.details["flops_per_step"], tables_of(record).values()
    jax, eager, best = rows["jax-scan"], fastest(rows, ["eager"]), fastest(rows, PEERS["train"])
    title = f"The VIB train step, batch {config['batch_size']}, {length(record)}"
    others = [row for name, row in rows.items() if name != "jax-loop"]
    xla = as_xla_counts(flops["xla"], "element-wise work included")
    targets = [target("share of the float32 matrix peak", 0.65, jax.rounds("mfu"))]
    targets += [target("JAX / eager PyTorch with plain Adam", 2.5, jax.rates / eager.rates)] if eager else []
    targets += [target(f"JAX / the best PyTorch ({best.label})", 1.0, jax.rates / best.rates)] if best else []
    return [
        table(title, rows, FIRST | SPEED | STEP | SHARES | faster("JAX is x faster", jax, others)),
        matrix_peak(record),
        f"Matrix products of one step: {flops['matmul'] / 1e9:.3f} GFLOP{xla}.",
        *(targets if config["precision"] == "float32" else []),
    ]


def sweep(record: Record) -> list[Section]:
    """A population beside one model."""
    shown: list[Section] = []
    targets, bounds, projected = [], [], ""
    for name, rows in tables_of(record).items():
        network, single = record.details["tables"][name], rows["single"]
        sizes = f"K = {network['latent_dim']}, {network['hidden_width']} units"
        title = f"{sizes}, {network['num_parameters']:,} parameters, batch {record.settings['batch_size']}"
        columns = COMPILE | column("MiB", "program_bytes", ",.0f", scale=2**-20) | OF_ALL | STEP | SHARES
        ratios = {name: row.rates / single.rates for name, row in rows.items() if row is not single}
        label = lambda row: row.label + " *" * row.settings.get("chosen", False)  # noqa: E731
        columns |= computed("x one model", ratios)
        shown.append(table(f"{title}, {length(record)}", rows, columns, label=label))
        chosen = next(row for row in rows.values() if row.settings.get("chosen"))
        devices = chosen.median("own_devices")
        goal = f"{chosen.label} / one model, {sizes}{f', for each of {devices:g} devices' * (devices > 1)}"
        targets.append(target(goal, POPULATION_GOALS[name], over(chosen, single)))
        at_peak = 1 / single.median("mfu")
        bounds.append(f"{goal}: {at_peak:.2f} at 100 % of the matrix peak, which no program exceeds.")
        if name == "wide":
            projected = projection(network, record.settings, chosen.median("images_per_second"))
    star = "* chosen by training.choose_members_at_once. MiB: what the program needs of a device."
    return [*shown, star, matrix_peak(record), *targets, *bounds, projected]


def projection(network: Mapping[str, Any], config: Mapping[str, Any], images_per_second: float) -> str:
    """How long the paper's whole sweep would take: at the measured rate, and at the slower one of the flags."""
    images, flops = math.prod(PAPER_SWEEP.values()), network["flops_per_step"]
    each = (flops["matmul"] if flops["xla"] is None else flops["xla"]) / config["batch_size"]
    work, moved = images * each, images * (network["bytes_per_step"] or 0.0) / config["batch_size"]
    hours, rate = images / images_per_second / 3600, images_per_second * each
    said = [f"{hours:,.2f} h at the {rate / 1e9:,.0f} GFLOP/s measured here"]
    given = [(work, config["project_flops"], "FLOP/s"), (moved, config["project_bandwidth"], "bytes/s of memory")]
    if bounds := [amount / rate / 60 for amount, rate, _ in given if rate]:
        at = " and ".join(f"{rate:.3g} {unit}" for _, rate, unit in given if rate)
        said.append(f"no less than {max(bounds):,.1f} minutes at {at}")
    models, epochs, size = PAPER_SWEEP.values()
    return (
        f"The paper's sweep, {models} models x {epochs} epochs x {size:,} images of K = {config['latent_dim']}, is "
        f"{work:.3g} FLOP and {moved:.3g} bytes: {'; '.join(said)}. Assuming that {'; '.join(ASSUMPTIONS)}."
    )


def scaling(record: Record) -> list[Section]:
    """One device, two, four, ..."""
    config, details, devices = record.settings, record.details, record.details["devices"]
    titles = {
        "weak": f"Weak scaling, batch {config['batch_size']} on each device",
        "strong": f"Strong scaling, batch {config['global_batch_size']} over all devices",
    }
    processes = f"{devices['processes']} process{'es' * (devices['processes'] > 1)}"
    shown: list[Section] = []
    for name, rows in tables_of(record).items():
        title = f"{titles[name]}, {length(record)}, {devices['total']} devices of {processes}"
        of_process = {name: row.rates / row.settings["processes"] for name, row in rows.items()}
        columns = COMPILE | SPEED | STEP | SHARES | computed("a process", of_process, ",.0f", spread=False)
        columns |= computed("efficiency", efficiency(rows)) | column("all-reduces", "all_reduces", ".0f")
        shown.append(table(title, rows, columns, "devices", lambda row: row.name))
    if devices["total"] > 1:
        sent = 4 * details["num_parameters"]  # gradients are float32, whatever the precision of the products
        shown.append(f"Over several devices a step reduces {sent / 1e6:.1f} MB of gradients.")
    if details["strong_left_out"]:
        counts = ", ".join(map(str, details["strong_left_out"]))
        shown.append(f"--global_batch_size={config['global_batch_size']} does not divide over {counts} devices.")
    if details["platform"] == "cpu":
        costs = "efficiency here says what sharding costs, not how it scales."
        shown.append(f"The devices of a CPU share its cores: {costs}")
    if devices["total"] == 1:
        flags = "XLA_FLAGS=--xla_force_host_platform_device_count=8 PJRT_NPROC=64"
        shown.append(f"There is one device. {flags} before the command makes a CPU eight.")
    return [*shown, matrix_peak(record)]


def efficiency(rows: Rows) -> dict[str, np.ndarray]:
    """The share of perfect scaling: a row's rate over that of as many single devices, round by round."""
    return {name: row.rates / rows["1"].rates / row.settings["devices"] for name, row in rows.items()}


def attacks(record: Record) -> list[Section]:
    """Attacks beside other libraries', and many radii."""
    details, network = record.details, record.details["network"]
    sizes = "-".join(str(size) for size in (network["layers"][0][0], *(layer[1] for layer in network["layers"])))
    shown: list[Section] = [
        f"Attacks on {sizes}, {network['dataset']}, {network['num_epochs']} epochs ({network['checkpoint']}), "
        f"{details['clean_accuracy']:.1%} right before the attack; {record.settings['repeats']} rounds."
    ]
    targets = []
    for name, rows in tables_of(record).items():
        references = [rows[each] for each in REFERENCES.get(name, ("jax",))]
        others = [row for row in rows.values() if row not in references]
        columns: Columns = {"images": lambda row: str(row.settings["num_images"])}
        columns |= FIRST | SPEED | PEAK
        for ours in references:
            columns |= faster(f"time / {ours.label}", ours, others)
        shown.append(table(name, rows, columns | {"result": _result}))
        libraries, goals = ATTACK_GOALS.get(name, ((), {}))
        for suffix, goal in goals.items():
            if best := fastest(rows, [library + suffix for library in libraries]):
                label = f"{best.label}{'' if suffix else ', as installed'}"
                for ours in references:
                    targets.append(target(f"{name}: {ours.label} / {label}", goal, ours.rates / best.rates))
        if name == "eight radii":
            for one in references:
                ratio = one.rates / rows["curve"].rates
                targets.append(target(f"time of {name} / {one.label}", EIGHT_RADII_GOAL, ratio, at_most=True))
    return [*shown, matrix_peak(record), *targets]


def _result(row: Timed) -> str:
    if curve := row.details.get("robust_accuracy"):
        return " ".join(f"{value:.0%}" for value in curve)
    accuracy, size = row.rounds("robust_accuracy")[0], row.rounds("median_l2_all")[0]
    if not math.isnan(accuracy):
        return f"{accuracy:.1%} stand"
    return f"median L2 {size:.3f}" if math.isfinite(size) else "most failed"


def augment(record: Record) -> list[Section]:
    """AutoAugment beside torchvision's."""
    config, tables = record.settings, tables_of(record)
    shown: list[Section] = []
    for name, rows in tables.items():
        size = rows["jax"].settings["size"]
        title = f"AutoAugment for {name}, {size} x {size}, batch {config['pictures']}"
        title += f", {config['repeats']} rounds of {config['min_seconds']:g} s"
        columns = column("first batch, s", "first_seconds") | SPEED
        shown.append(table(title, rows, columns | faster("JAX is x faster", rows["jax"], rows.values())))
    rows = tables["CIFAR-10"]
    for each in [row.details["process"] for row in rows.values() if "process" in row.details][:1]:
        threads = f"PyTorch {each['torch']} with {each['threads']} threads"
        shown.append(f"torchvision {each['torchvision']}, {threads}, Pillow {each['pillow']}.")
    if best := fastest(rows, PEERS["augment"]):
        ours = rows["jax"]
        shown.append(target(f"CIFAR-10: {ours.label} / {best.label}", AUGMENT_GOAL, ours.rates / best.rates))
    return shown


def corruptions(record: Record) -> list[Section]:
    """19 corruptions beside imagecorruptions'."""
    details, shown, missing = record.details, list[Section](), dict[str, str]()
    ways = dict(zip(PEERS["corruptions"], ("one process", "a process on each core"), strict=True))
    targets: dict[str, list[str]] = {way: [] for way in ways}
    kind = f"batches of {details['images']}, severity {details['severity']} of {details['constants']}"
    for size, rows in tables_of(record).items():
        ours = {name: row for name, row in rows.items() if name.endswith(" jax")}
        columns, ratios, notes = FIRST | column("JAX", "images_per_second", ",.0f", spread=True), Columns(), []
        for way, processes in ways.items():
            theirs = {name: rows[other] for name in ours if (other := name.replace("jax", way)) in rows}
            if absent := [row.status for row in theirs.values() if not row.measured]:
                missing[way] = absent[0]
            if absent or not theirs:
                continue
            speedup = {name: ours[name].rates / row.rates for name, row in theirs.items()}
            short = processes.replace("a process on each core", "all cores")
            columns |= computed(f"package, {short}", {name: row.rates for name, row in theirs.items()}, ",.0f")
            ratios |= computed(f"JAX / {short}", speedup, ".1f")
            medians = {ours[name].settings["corruption"]: np.median(ratio) for name, ratio in speedup.items()}
            slow = ", ".join(name for name, ratio in medians.items() if ratio < CORRUPTION_GOAL) or "none"
            mean = np.exp(np.mean(np.log([*medians.values()])))
            text = f"geometric mean of JAX / package, {short}: {mean:.1f}; less than {CORRUPTION_GOAL:g}: {slow}."
            notes.append(f"{size}: {text}")
            least = min(medians, key=lambda name: medians[name])
            label = f"JAX / imagecorruptions in {processes}, {size}, least of {len(medians)} ({least})"
            targets[way].append(target(label, CORRUPTION_GOAL, medians[least]))
        title = f"{size}, {kind}, {record.settings['repeats']} rounds; images/s (range)"
        shown.append(table(title, ours, columns | ratios, label=lambda row: row.settings["corruption"]))
        shown += notes
    return [
        *shown,
        *(f"{way}: {status}" for way, status in missing.items()),
        *(each for way in ways for each in targets[way]),
    ]


def images(record: Record) -> list[Section]:
    """Convolutional networks beside plain loops."""
    details, shown, targets = record.details, list[Section](), list[str]()
    sheet, peak = details["data_sheet_peak"], details["matrix_peak"]["flops_per_second"]
    of_sheet = peak / sheet if sheet else math.nan
    for name, rows in tables_of(record).items():
        network, references = details["tables"][name], references_of(rows)
        ratios = {own: over(rows[own], other) for own, other in references.items()}
        columns = FIRST | OF_ALL | STEP | SHARES | column("of data sheet", "mfu", ".0%", scale=of_sheet)
        sizes = f"{network['image_size']} px, batch {network['batch_size']}, {network['precision']}"
        rounds = f"{record.settings['repeats']} rounds of {network['steps']} steps"
        title = f"{name}, {network['num_parameters']:,} parameters, {sizes}, {rounds}"
        shown.append(table(title, rows, columns | computed("x reference", ratios)))
        products = f"{network['flops_per_image']['products'] / 1e9:.3f} GFLOP of convolutions and products"
        xla = as_xla_counts(network["flops_per_image"]["xla"], "without padding")
        way = "one compiled loop" if network["whole"] else f"{network['steps']} steps, driven from the host"
        shown.append(f"An image's step: {products}{xla}; a stretch is {way}.")
        kinds = {"stretch": "training", "population": "the population", "runner": "PGD"}
        for own, other in references.items():
            targets.append(target(f"{name}: {kinds[own]} / {other.label}", IMAGE_GOAL, ratios[own]))
        if details["platform"] != "cpu" and network["precision"] == "bfloat16" and rows["stretch"].measured:
            whose, share = ("data sheet's", of_sheet) if sheet else ("measured", 1.0)
            label = f"{name}: share of the {whose} matrix peak in training"
            targets.append(target(label, MFU_GOAL, share * rows["stretch"].rounds("mfu")))
    sold = [f"The device's data sheet: {sheet / 1e9:,.0f} GFLOP/s in bfloat16, dense."] if sheet else []
    return [*shown, matrix_peak(record), *sold, *targets]


def references_of(rows: Rows) -> dict[str, Timed]:
    """What a network's rows are held against: the steps from a Python loop, a population the faster single model."""
    single = fastest(rows, ("stretch", "loop"))
    references = {"stretch": rows["loop"], "population": single, "runner": rows["pgd-loop"]}
    return {name: row for name, row in references.items() if row and row.measured and rows[name].measured}


def reading(record: Record) -> list[Section]:
    """ImageNet's JPEGs by the number of threads, and the cores that a fast accelerator asks for."""
    details, shown = record.details, list[Section]()
    for name, rows in tables_of(record).items():
        threads = {key: row for key, row in rows.items() if key != "held"}
        speedup = {key: row.rates / threads["1"].rates for key, row in threads.items()}
        columns = column("images/s (range)", "images_per_second", ",.0f", spread=True) | computed("x one", speedup)
        title = f"{name} crop of JPEGs of {details['image_bytes'] / 1e3:.0f} kB on {details['cores']} cores"
        shown.append(table(title, threads, columns))
        best = max(threads.values(), key=lambda row: row.median("images_per_second"))
        each = best.median("images_per_second") / min(details["cores"], best.settings["threads"])
        cores, held = math.ceil(TPU_RATE / each), rows["held"]
        limit = held.median("images_per_second")
        shown.append(
            f"{TPU_RATE:,} images/s need {cores} such cores, each {each:,.0f}. The interpreter, which a process has "
            f"once, is held for {1e6 / limit:.0f} microseconds an image ({held.label}): a process reads at most "
            f"{limit:,.0f} images/s, however many cores it has."
        )
    return shown


def adversarial(record: Record) -> list[Section]:
    """Adversarial steps in plain ones."""
    details, (rows,) = record.details, tables_of(record).values()
    ratios = {name: rows["plain"].rates / row.rates for name, row in rows.items()}
    columns = COMPILE | column("step, ms (range)", "step_ms", spread=True) | computed("x plain (range)", ratios)
    title = f"MLP {details['hidden']}-2K, K = {details['latent_dim']}, batch {record.settings['batch_size']}"
    title += f", {length(record)}; attacks on the whole batch, or half of it"
    name = "one step against PGD-20 on the whole batch, in plain steps"
    return [table(title, rows, columns), matrix_peak(record), target(name, 21, ratios["pgd-20"], at_most=True)]


_REPORTS = (train, sweep, scaling, attacks, augment, corruptions, images, reading, adversarial)
REPORTS: Mapping[str, Callable[[Record], list[Any]]] = dict(
    zip(SUITES, (*_REPORTS, estimators.report, distances.report, cold.report), strict=True)
)


def report(frame: "pd.DataFrame", records: Sequence[Record]) -> Report:
    """A part for each record: its command and machine, tables, targets."""
    shown: list[Any] = []
    for record in records:
        shown.append(_origin(record))
        shown += [Text(each) if isinstance(each, str) else each for each in sections(record)]
    return Report("Benchmark", frame, shown)


def sections(record: Record) -> list[Any]:
    """Everything there is to say of a record."""
    load = record.details["load_average"]["start"]
    others = f"The load average was {load:.1f} at the start: others ran too and blurred all numbers, PyTorch's most."
    return [*REPORTS[record.settings["suite"]](record), *([others] if load > BUSY else [])]


def _origin(record: Record) -> Text:
    known, variables = record.environment, record.details.get("variables", {})
    before = "".join(f"{key}={value} " for key, value in variables.items() if key != "JAX_PLATFORMS")
    devices, machine = known["devices"], known["machine"]
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {len(devices)} device{'s' * (len(devices) > 1)} ({devices[0]})"
    )
    versions = f"jax {known['versions']['jax']}, commit {known['commit'][:7]}"
    return Text(f"`{before}{record.command}` on {where}; {versions}.", title=record.file)
