"""Ends small runs at random moments and starts them again; in the end they leave what an undisturbed one leaves.

    python -m tests.soak                                    240 kills, and the disk full 24 times; counts at the end
    python -m tests.soak --kills=10 --pair_kills=4 --full=2  the same in a few minutes, as the slow tests do

kills       of one process: SIGKILL at a random moment, now and then SIGTERM.
pair_kills  of a run on two processes: both, or one of them, upon which the other ends by itself within a minute.
full        times that the disk is full, on one process; as root, who may mount a small file system.
pair_full   the same on two processes, both of which end, and say why, within a minute.

Disturbed lives are slow where a kill does most harm: between the writing of a file and its name, and while something
is deleted. A run that does not end as the undisturbed one did is a lost run, and ends the soak.
"""

import argparse
import atexit
import collections
import contextlib
import dataclasses
import faulthandler
import hashlib
import json
import os
import pathlib
import random
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator

NUM_EPOCHS = 20
SETTINGS = (
    "--hidden_width=32", "--latent_dim=2", f"--num_epochs={NUM_EPOCHS}", "--epochs_per_eval=1", "--steps_per_call=7",
    "--num_eval_samples=2", "--num_attack_images=0", "--nofigures",
)  # fmt: skip
VOLATILE = ("seconds", "images_per_second", "training_seconds", "command")
ALONE_AFTER_A_LOSS = 60.0  # seconds in which a process ends whose other was lost, or whose disk is full


@dataclasses.dataclass
class Life:
    """The processes of a run from a start to an end.

    Attributes:
      folder: of the run, logs beside it.
      statuses: exit status of each process by its id; None while it runs.
      logs: what each printed.
    """

    folder: pathlib.Path
    statuses: dict[int, int | None]
    logs: list[pathlib.Path]

    def wait(self, seconds: float) -> list[int | None]:
        """Exit statuses, None of those that have not ended by then."""
        deadline = time.monotonic() + seconds
        while True:
            for process in [process for process, status in self.statuses.items() if status is None]:
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended:
                    self.statuses[process] = os.waitstatus_to_exitcode(status)
            if None not in self.statuses.values() or time.monotonic() > deadline:
                return list(self.statuses.values())
            time.sleep(0.002)

    def said(self) -> str:
        """What all of them printed, with where those stand that have not ended."""
        for process in [process for process, status in self.statuses.items() if status is None]:
            os.kill(process, signal.SIGUSR1)
            time.sleep(1.0)
        return "\n".join(log.read_text("utf-8", "replace") for log in self.logs)


def start(folder: pathlib.Path, cache: pathlib.Path, *, processes: int, slow: bool, seed: int) -> Life:
    """Starts a run, or goes on with it, in forks of this process, which has imported what a run needs."""
    joined: list[str] = []
    if processes > 1:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            joined = [f"--coordinator_address=localhost:{free.getsockname()[1]}", f"--num_processes={processes}"]
    begun, logs = [], []
    for index in range(processes):
        logs.append(cache.with_name(f"{folder.name}.{index}.log"))  # not on the disk that is filled
        own = [*joined, f"--process_id={index}"] if joined else []
        arguments = [f"--workdir={folder}", f"--compilation_cache={cache}", *SETTINGS, *own]
        begun.append(fork(lambda arguments=arguments: _run(arguments, slow, seed), logs[-1]))
    return Life(folder, dict.fromkeys(begun), logs)


def fork(work: Callable[[], None], log: pathlib.Path) -> int:
    """A process of its own for some work, with its output in a file."""
    sys.stdout.flush()
    if process := os.fork():
        return process
    status = 1
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        faulthandler.register(signal.SIGUSR1)
        work()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(arguments: list[str], slow: bool, seed: int) -> None:
    if slow:
        _slow_down(random.Random(seed))
    sys.argv = ["mnist_vib", *arguments]
    runpy.run_module("experiments.mnist_vib", run_name="__main__", alter_sys=True)


def _slow_down(rng: random.Random) -> None:
    """Makes what a kill could spoil take longer: to name a file that is written, to delete, to save."""
    from ib_jax import training

    fsync, rename, save = os.fsync, os.rename, training.Checkpoints.save

    def slow_fsync(file: int) -> None:
        fsync(file)
        time.sleep(0.05 * rng.random())

    def slow_rename(*arguments: object, **options: object) -> None:
        time.sleep(0.01 * rng.random())
        rename(*arguments, **options)

    def slow_rmtree(folder: str, *arguments: object, **options: object) -> None:
        for path in sorted(pathlib.Path(folder).rglob("*"), reverse=True):
            time.sleep(0.002)
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        with contextlib.suppress(OSError):
            pathlib.Path(folder).rmdir()

    def slow_save(self: object, state: object, *, score: float) -> None:
        save(self, state, score=score)
        time.sleep(0.1 * rng.random())

    os.fsync, os.rename, shutil.rmtree, training.Checkpoints.save = slow_fsync, slow_rename, slow_rmtree, slow_save


def outcome(folder: pathlib.Path) -> dict[str, str]:
    """What a finished run left: its files, its numbers but for times, and its last checkpoint bit for bit."""
    answer = folder.with_name(f"{folder.name}.outcome")
    process = fork(lambda: answer.write_text(json.dumps(_outcome(folder)), "utf-8"), answer.with_suffix(".log"))
    if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        raise AssertionError(answer.with_suffix(".log").read_text("utf-8"))
    return json.loads(answer.read_text("utf-8"))


def _outcome(folder: pathlib.Path) -> dict[str, str]:
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    steps = sorted((path.name for path in (folder / "checkpoints").glob("*")), key=str)
    last = max(int(step) for step in steps if step.isdecimal())
    state = ocp.StandardCheckpointer().restore(folder.absolute() / "checkpoints" / str(last) / "default")
    leaves = jax.tree_util.tree_leaves_with_path(state)
    digest = hashlib.sha256()
    for path, leaf in leaves:
        digest.update(f"{path}{np.asarray(leaf).dtype}".encode() + np.asarray(leaf).tobytes())
    with np.load(folder / "per_example.npz") as arrays:
        examples = {name: hashlib.sha256(arrays[name].tobytes()).hexdigest() for name in sorted(arrays.files)}
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return {
        "files": str(sorted(path.name for path in folder.iterdir())),
        "steps": str(steps),
        "state": digest.hexdigest(),
        "examples": str(examples),
        "metrics": str(_lasting(rows)),
        "record": str(_lasting(json.loads((folder / "results.json").read_text("utf-8")))),
    }


def _lasting(value: object) -> object:
    """A value of JSON without what differs from run to run."""
    if isinstance(value, dict):
        return {name: _lasting(each) for name, each in value.items() if name not in VOLATILE}
    return [_lasting(each) for each in value] if isinstance(value, list) else value


def moment(folder: pathlib.Path, num_epochs: int) -> str:
    """What a run that has just been killed was doing, by what it left."""
    checkpoints = folder / "checkpoints"
    if list(folder.glob(".*.partial")):
        return "a file half written"
    if list(checkpoints.glob("*.orbax-checkpoint-tmp*")):
        return "a save"
    if list((checkpoints / "deleted").glob("*")):
        return "a deletion"
    lines = (folder / "metrics.jsonl").read_bytes().count(b"\n") if (folder / "metrics.jsonl").exists() else 0
    if (folder / "results.json").exists():
        return "after the record"
    if lines >= 2 * num_epochs:  # two stretches an epoch
        return "the last evaluation"
    return "steps" if lines else "before the first step"


def soak(
    root: pathlib.Path,
    count: int,
    rng: random.Random,
    report: Callable[[str], None],
    *,
    processes: int = 1,
    full: contextlib.AbstractContextManager[pathlib.Path] | None = None,
) -> collections.Counter[str]:
    """Disturbs runs so many times.

    Args:
      root: an empty folder.
      count: of kills, or of full disks.
      rng: decides when and how.
      report: is told of each run that has ended.
      processes: of each run.
      full: a small file system, that is filled instead of killing anything.

    Returns:
      Counts: of ends by their kind, of the moments, of lives and runs.

    Raises:
      AssertionError: a run is lost: it does not go on, or ends otherwise than an undisturbed one.
    """
    cache, counts = root / "cache", collections.Counter[str]()
    undisturbed = root / "undisturbed"
    _finish(start(undisturbed, cache, processes=processes, slow=False, seed=0))  # compiles
    expected, began = outcome(undisturbed), time.monotonic()
    _finish(start(root / "timed", cache, processes=processes, slow=True, seed=0))
    assert outcome(root / "timed") == expected, "two undisturbed runs differ"
    usual = time.monotonic() - began
    disturb = _kill if full is None else _fill
    with full or contextlib.nullcontext(root) as place:
        while counts["disturbed"] < count:
            folder, lives = place / f"run{counts['runs']}", 0
            while True:
                slow = rng.random() < 0.7
                life = start(folder, cache, processes=processes, slow=slow, seed=rng.randrange(2**31))
                lives += 1
                assert lives < 200, f"{folder} does not come to an end: {life.said()}"
                if counts["disturbed"] >= count:
                    _finish(life)
                    break
                if None in life.wait(rng.random() * usual * (1.0 if slow else 0.6)):
                    disturb(life, rng, counts)
                    counts["disturbed"] += 1
                    continue
                _finish(life)
                break
            found = outcome(folder)
            different = [name for name, value in expected.items() if found[name] != value]
            assert not different, f"{folder} is lost: {different}\n{found}\n{expected}"
            counts["runs"] += 1
            counts["lives"] += lives
            report(f"run {counts['runs']}: as undisturbed, after {lives} lives; {counts['disturbed']} of {count}")
            shutil.rmtree(folder)
    return counts


def _finish(life: Life) -> None:
    statuses = life.wait(300)
    assert set(statuses) == {0}, f"{life.folder} is lost: {statuses}\n{life.said()}"


def _kill(life: Life, rng: random.Random, counts: collections.Counter[str]) -> None:
    """Kills the life, and counts how and when."""
    alone, processes = len(life.statuses) == 1, list(life.statuses)
    number = signal.SIGTERM if rng.random() < 0.1 else signal.SIGKILL
    victims = processes if alone or rng.random() < 0.7 else [rng.choice(processes)]
    for process in victims:
        os.kill(process, number)
    began = time.monotonic()
    statuses = life.wait(ALONE_AFTER_A_LOSS)
    assert None not in statuses, f"{life.folder}: a process hangs: {statuses}\n{life.said()}"
    if number == signal.SIGTERM and 143 in statuses:  # otherwise it came where nothing was to be saved
        assert set(statuses) == {143}, f"{life.folder}: {statuses}\n{life.said()}"
        assert "Stopped and saved at step" in life.said(), life.said()
        counts["stopped and saved"] += 1
    name = f"{signal.Signals(number).name} to {'it' if alone else 'both' if len(victims) == 2 else 'one'}"
    counts[name] += 1
    counts[f"at {moment(life.folder, NUM_EPOCHS)}"] += 1
    if len(victims) < len(processes):
        counts["longest wait, seconds"] = max(counts["longest wait, seconds"], round(time.monotonic() - began))


def _fill(life: Life, rng: random.Random, counts: collections.Counter[str]) -> None:
    """Fills the disk until the run ends by itself, in one line that says so; then there is room again."""
    ballast = life.folder.with_name("ballast")
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    began = time.monotonic()
    statuses = life.wait(ALONE_AFTER_A_LOSS)
    ballast.unlink()
    if set(statuses) == {0}:
        counts["not hindered by a full disk"] += 1  # it needed no more room
        return
    assert statuses in ([1], [1, 75]), f"{life.folder}: {statuses}\n{life.said()}"
    for log in life.logs:  # each says so, in one line
        said = log.read_text("utf-8", "replace")
        lines = [line for line in said.splitlines() if "No space left on device" in line]
        assert len(lines) == 1, said
        assert "mnist_vib: " in lines[0], said
        assert "Traceback" not in said, said
    counts["ended by a full disk"] += 1
    counts["longest wait, seconds"] = max(counts["longest wait, seconds"], round(time.monotonic() - began))


@contextlib.contextmanager
def small_disk(megabytes: int = 8) -> Iterator[pathlib.Path]:
    """A file system of a few megabytes; OSError where none can be mounted."""
    folder = pathlib.Path(tempfile.mkdtemp())
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], capture_output=True, encoding="utf-8"
    )
    if mounted.returncode:
        raise OSError(mounted.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False)
        folder.rmdir()


def main(arguments: list[str]) -> dict[str, dict[str, int]]:
    """Reads the command line, disturbs, and prints the counts."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=170)
    parser.add_argument("--pair_kills", type=int, default=70)
    parser.add_argument("--full", type=int, default=20)
    parser.add_argument("--pair_full", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    _import_all()
    rng, found = random.Random(options.seed), {}
    folder = tempfile.mkdtemp()  # TemporaryDirectory would remove it at the end of each fork
    try:
        plans = {
            "one process": (options.kills, {}),
            "two processes": (options.pair_kills, {"processes": 2}),
            "full disk": (options.full, {"full": small_disk()}),
            "full disk, two processes": (options.pair_full, {"full": small_disk(), "processes": 2}),
        }
        for name, (count, more) in plans.items():
            if count:
                root, began = pathlib.Path(folder) / name.replace(" ", "_"), time.monotonic()
                root.mkdir()
                report = lambda line, name=name: print(f"{name}: {line}", flush=True)
                counts = soak(root, count, rng, report, **more)
                found[name] = {**counts, "seconds": round(time.monotonic() - began)}
                print(name, json.dumps(found[name], indent=1), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _import_all() -> None:
    """Imports what a run needs, once for all forks; JAX's backend starts in each of them."""
    os.environ.setdefault("PJRT_NPROC", "16")
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    import orbax.checkpoint
    import sklearn.datasets

    from experiments import mnist_vib
    from experiments.core import app

    del orbax.checkpoint, sklearn.datasets, mnist_vib, app


if __name__ == "__main__":
    main(sys.argv[1:])
