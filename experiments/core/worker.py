"""A PyTorch process beside JAX: it sleeps on a pipe, and answers each line of JSON with another.

So thread pools and MKL settings do not mix, compiling happens once, and an idle worker takes nothing from its
neighbours. A worker's module ends in `serve(make_answer, packages)`; whoever asks it holds a `Worker`.
"""

import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import math
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""From a request to its reply; both go through JSON."""

_PEAK = "peak_bytes"  # of a reply
_MKL_SOURCE = "int mkl_serv_intel_cpu_true(void) { return 1; }\n"


class WorkerError(RuntimeError):
    """A worker cannot run here, a request failed, or the worker ended; the message is the error's last line."""


def missing(packages: Sequence[str], extra: str, *, avx512: bool = False) -> str:
    """Why a worker that imports packages cannot run here, forcing MKL's AVX-512 path or not; empty if it can."""
    if any(importlib.util.find_spec(package) is None for package in packages):
        return f"not installed (pip install 'ib-jax[{extra}]')"
    if avx512:
        if platform.system() != "Linux":
            return "skipped: MKL's path can be forced on Linux only"
        if "AuthenticAMD" not in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"):
            return "skipped: MKL chooses its path by itself on this processor"
        if _c_compiler() is None:
            return "skipped: no C compiler to build the preloaded library"
    return ""


def build_mkl_library(folder: str | os.PathLike[str]) -> pathlib.Path:
    """Builds the shared library that, when preloaded, makes MKL use AVX-512 on processors that are not Intel's."""
    compiler = _c_compiler()
    if compiler is None:
        raise WorkerError("no C compiler")
    source, library = pathlib.Path(folder) / "mkl.c", pathlib.Path(folder) / "libmkl_any_cpu.so"
    source.write_text(_MKL_SOURCE, encoding="utf-8")
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(source)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        raise WorkerError(f"{compiler} failed: {done.stderr.strip()}")
    return library


def _c_compiler() -> str | None:
    names = filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))
    return next(filter(None, map(shutil.which, names)), None)


class Worker:
    """A running worker.

    Args:
      module: what to run with `python -m`; it calls `serve`.
      arguments: keyword arguments of its `make_answer`.
      avx512: whether to force MKL's AVX-512 path on processors that are not Intel's.
      python: the interpreter, of another environment perhaps; None is this one.
      environment: variables over this process's own.

    Attributes:
      info: versions of the packages, threads, and the speed of a float32 matrix product.
      peak_bytes: of memory, the most that it had taken when it last replied.

    Raises:
      WorkerError: the worker ended before it was ready, or the AVX-512 path could not be forced.
    """

    def __init__(
        self,
        module: str,
        arguments: Mapping[str, Any],
        *,
        avx512: bool = False,
        python: str | None = None,
        environment: Mapping[str, str] | None = None,
    ):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            self._log = stack.enter_context(open(pathlib.Path(folder) / "log", "w+", encoding="utf-8"))
            # torch.compile would start a pool of processes, which do not sleep.
            variables = {"TORCHINDUCTOR_COMPILE_THREADS": "1"} | os.environ | dict(environment or {})
            variables["IB_JAX_WORKER"] = "1"  # asks for no package of the experiments
            if avx512:
                variables["LD_PRELOAD"] = str(build_mkl_library(folder))
            self._process = subprocess.Popen(
                [python or sys.executable, "-m", module, json.dumps(dict(arguments))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                encoding="utf-8",
                env=variables,
                cwd=pathlib.Path(__file__).resolve().parents[2],
            )
            stack.callback(self._end)
            self.info, self.peak_bytes = self._reply(), 0
            self._cleanup = stack.pop_all()

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to a request; after a WorkerError the worker waits for the next one, if it has not ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(dict(request)) + "\n")
            self._process.stdin.flush()
        reply = self._reply()
        self.peak_bytes = reply.pop(_PEAK)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines() or [f"exit status {self._process.returncode}"]
        raise WorkerError(lines[-1])

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._cleanup.close()


class Workers:
    """A worker as installed and one with MKL's AVX-512 path forced, each begun when it is first asked.

    Args:
      start: (avx512, folder) -> the worker; it may write what the worker loads to the folder, which is empty at first.

    Attributes:
      folder: removed at the end.
      info: of each by its name, "as installed" or "AVX-512 forced".
      peak_bytes: of memory, by the worker that was asked last.
    """

    def __init__(self, start: Callable[[bool, pathlib.Path], Worker]):
        self._start, self._stack, self._running = start, contextlib.ExitStack(), dict[bool, Worker]()
        self.folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.info: dict[str, Any] = {}
        self.peak_bytes = 0

    def ask(self, request: Mapping[str, Any], *, avx512: bool = False) -> dict[str, Any]:
        """The reply to a request."""
        if avx512 not in self._running:
            self._running[avx512] = self._stack.enter_context(self._start(avx512, self.folder))
            self.info["AVX-512 forced" if avx512 else "as installed"] = self._running[avx512].info
        reply = self._running[avx512](request)
        self.peak_bytes = self._running[avx512].peak_bytes
        return reply

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()


def peak_resident() -> int:
    """The most memory that this process has taken, in bytes.

    Where Linux tells, it is this program's own; `ru_maxrss` begins with that of the process which started it.
    """
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource  # which not every system has

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, but bytes on macOS
    return most * (1 if sys.platform == "darwin" else 1024)


def serve(make_answer: Callable[..., Answer], packages: Sequence[str]) -> None:
    """The worker's main loop; what libraries print goes to standard error.

    Args:
      make_answer: prepares, with the command line's JSON as keyword arguments, and returns what answers a request.
      packages: whose versions `info` has.
    """
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    say = functools.partial(print, file=replies, flush=True)
    import torch

    torch.set_flush_denormal(True)  # as XLA does
    answer = make_answer(**json.loads(sys.argv[1]))
    info = {package: importlib.metadata.version(package) for package in packages}
    say(json.dumps(info | {"threads": torch.get_num_threads(), "matmul_gflops": _matmul_gflops()}))
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            reply = {"error": traceback.format_exception_only(error)[-1].strip()}
        say(json.dumps({**reply, _PEAK: peak_resident()}))


def _matmul_gflops(size: int = 2048, runs: int = 3) -> float:
    """The best rate of a square float32 matrix product, to see that MKL took the path it was told to."""
    import torch

    matrix = torch.ones(size, size)
    seconds = math.inf
    for _ in range(runs + 1):
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        seconds = min(seconds, time.perf_counter() - start)
    return 2 * size**3 / seconds / 1e9
