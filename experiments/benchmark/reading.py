"""The suite `reading`: ImageNet's JPEGs decoded and cropped, by how many threads of one process.

The images lie encoded in memory; a disk comes on top. What holds the interpreter, which a process has once, is measured
apart: it is what limits a host of many cores.
"""

import contextlib
import functools
import io
import math
import time
import unittest.mock
from collections.abc import Generator
from typing import Any

import numpy as np
from rich.console import Console
from sklearn.datasets import load_sample_image

from experiments.benchmark.measure import Plan, Row, Turn
from experiments.benchmark.settings import Config
from experiments.benchmark.tables import Section, column, computed, table, tables_of
from experiments.core.records import Record
from ib_jax import data
from ib_jax.data.crops import CentreCrop, Decode, RandomCrop

CROPS: dict[str, Decode] = {"training": RandomCrop(224, seed=0, epoch=0), "evaluation": CentreCrop(224)}
SIZE, QUALITY, COUNT = (500, 375), 96, 64
"""Of a picture, of which ImageNet's mean is about 110 kB in such a size."""
BATCH_SIZE = 256
TPU_RATE = 8000
"""Images/s of a TPU v3-8 training ResNet-50."""


def reading(config: Config, console: Console, stack: contextlib.ExitStack) -> Plan:
    """Both crops by one thread, two, four ... as many as there are cores, and the interpreter's part of one."""
    encoded, cores = pictures(), data.usable_cores()
    counts = [count for count in (1 << place for place in range(cores.bit_length())) if count < cores] + [cores]
    rows = []
    for title, crop in CROPS.items():
        for count in counts:
            start = functools.partial(_read, encoded, crop, count)
            settings = {"threads": count}
            rows.append(
                Row(title, str(count), f"{count} thread{'s' * (count > 1)}", start, BATCH_SIZE, settings=settings)
            )
        start = functools.partial(_held, encoded, crop)
        rows.append(Row(title, "held", "one thread, but for decoding and scaling", start, len(encoded)))
    facts = {"cores": cores, "image_bytes": float(np.mean([len(each) for each in encoded]))}
    return Plan(rows, lambda: facts, dtype="", min_seconds=config.min_seconds)


def pictures() -> list[bytes]:
    """Pieces of scikit-learn's two photographs as JPEGs of ImageNet's usual size, lying and standing."""
    from PIL import Image

    sources = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    rng, found = np.random.default_rng(0), []
    for index in range(COUNT):
        width, height = SIZE if index % 3 else SIZE[::-1]
        left, top = (int(rng.integers(0, side - min(SIZE) + 1)) for side in sources[0].size)
        square = sources[index % 2].crop((left, top, left + min(SIZE), top + min(SIZE)))
        file = io.BytesIO()
        square.resize((width, height)).save(file, "jpeg", quality=QUALITY)
        found.append(file.getvalue())
    return found


class Encoded:
    """Pictures without end, read as those of a prepared copy are."""

    def __init__(self, encoded: list[bytes], crop: Decode):
        self._encoded, self._crop = encoded, crop

    def __len__(self) -> int:
        return 1_281_167

    def __getitem__(self, row: int, /) -> data.Split:
        return data.Split(self._crop(self._encoded[row % len(self._encoded)], row), np.array(0, np.int32))

    def read_rows(self, rows: np.ndarray, /) -> data.Split:
        pixels = np.empty((len(rows), *self._crop.image_shape), np.uint8)
        for place, row in enumerate(rows.tolist()):
            pixels[place] = self._crop(self._encoded[row % len(self._encoded)], row)
        return data.Split(pixels, np.zeros(len(rows), np.int32))


def _read(encoded: list[bytes], crop: Decode, num_threads: int) -> Turn:
    source: Any = Encoded(encoded, crop)
    rows = np.arange(len(source))

    def batches() -> Generator[data.Split, None, None]:
        while True:
            yield from data.stream(
                source, order=lambda epoch: rows, batch_size=BATCH_SIZE, num_steps=5000, num_threads=num_threads
            )

    def turn(min_seconds: float) -> tuple[float, dict[str, Any]]:
        with contextlib.closing(batches()) as read:
            next(read)
            begin, count = time.perf_counter(), 0
            while not count or time.perf_counter() - begin < min_seconds:
                next(read)
                count += 1
            return (time.perf_counter() - begin) / count, {}

    return turn


def _held(encoded: list[bytes], crop: Decode) -> Turn:
    """The time of all crops, less that of Pillow's decoding and scaling, in which it lets the interpreter go."""
    from PIL import Image

    resize = Image.Image.resize  # which decodes first
    free = 0.0

    def noted(*args: Any, **kwargs: Any) -> Image.Image:
        nonlocal free
        begin = time.perf_counter()
        found = resize(*args, **kwargs)
        free += time.perf_counter() - begin
        return found

    def turn(min_seconds: float) -> tuple[float, dict[str, Any]]:
        nonlocal free
        free, begin, count = 0.0, time.perf_counter(), 0
        with unittest.mock.patch.object(Image.Image, "resize", noted):
            while not count or time.perf_counter() - begin < min_seconds:
                for row, each in enumerate(encoded):
                    crop(each, row)
                count += 1
        return (time.perf_counter() - begin - free) / count, {}

    return turn


def report(record: Record) -> list[Section]:
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
