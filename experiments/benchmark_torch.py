"""The PyTorch side of `experiments.benchmark`: the same VIB step, each variant in a process of its own.

A peer is a long-lived worker fed through a pipe: a line in means "train one stretch", the line out says how long it
took. So thread pools and MKL settings do not mix, compiling happens once, and an idle peer sleeps on its pipe.

The peers get the best honest form: parameters in a plain list and functional calls, images held as float32 and already
scaled (JAX holds bytes and scales them in each step), no decay of the learning rate, denormal numbers flushed to zero
as XLA does, PyTorch's own number of threads.
"""

import contextlib
import functools
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
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

AVX512 = "-avx512"
PEERS = tuple(name + suffix for suffix in ("", AVX512) for name in ("eager", "fused", "compile"))
"""eager: plain Adam; fused: fused Adam; compile: torch.compile and fused Adam; -avx512: MKL's AVX-512 path forced."""

LABELS = {"eager": "eager", "fused": "fused Adam", "compile": "compile, fused Adam"}

_MKL_SOURCE = "int mkl_serv_intel_cpu_true(void) { return 1; }\n"


def label(peer: str) -> str:
    """A peer's name for a table."""
    text = f"PyTorch, {LABELS[peer.removesuffix(AVX512)]}"
    return f"{text}, AVX-512" if peer.endswith(AVX512) else text


def missing(peer: str) -> str:
    """Why a peer cannot run here; empty if it can."""
    if importlib.util.find_spec("torch") is None:
        return "not installed"
    if peer.startswith("compile") and not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")):
        return "skipped: torch.compile needs a C++ compiler"
    if peer.endswith(AVX512):
        if platform.system() != "Linux":
            return "skipped: MKL's path can be forced on Linux only"
        if "AuthenticAMD" not in pathlib.Path("/proc/cpuinfo").read_text():
            return "skipped: MKL chooses its path by itself on this processor"
        if _c_compiler() is None:
            return "skipped: no C compiler to build the preloaded library"
    return ""


def build_mkl_library(folder: str | os.PathLike[str]) -> pathlib.Path:
    """Builds the shared library that, when preloaded, makes MKL use AVX-512 on processors that are not Intel's.

    Raises:
      OSError: there is no C compiler, or it failed.
    """
    compiler = _c_compiler()
    if compiler is None:
        raise OSError("no C compiler")
    source, library = pathlib.Path(folder) / "mkl.c", pathlib.Path(folder) / "libmkl_any_cpu.so"
    source.write_text(_MKL_SOURCE)
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{compiler} failed: {done.stderr.strip()}")
    return library


def _c_compiler() -> str | None:
    names = filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))
    return next(filter(None, map(shutil.which, names)), None)


class PeerError(RuntimeError):
    """A worker ended; the message is the end of what it wrote."""


class Peer:
    """A running worker.

    Args:
      peer: one of `PEERS`.
      sizes: what `make_stretch` takes, as keyword arguments.

    Raises:
      PeerError: the worker ended before it was ready.
    """

    def __init__(self, peer: str, sizes: Mapping[str, Any]):
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            self._log = stack.enter_context(open(pathlib.Path(folder) / "log", "w+"))
            environment = {"TORCHINDUCTOR_COMPILE_THREADS": "1"} | os.environ
            if peer.endswith(AVX512):
                environment["LD_PRELOAD"] = str(build_mkl_library(folder))
            arguments = {"optimizer": peer.removesuffix(AVX512)} | dict(sizes)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "experiments.benchmark_torch", json.dumps(arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                env=environment,
                cwd=pathlib.Path(__file__).resolve().parents[1],
            )
            stack.callback(self._end)
            self.info = self._reply()
            self._cleanup = stack.pop_all()

    def __call__(self) -> dict[str, float]:
        """Trains one stretch; returns its `seconds` and last `loss`."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("run\n")
            self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines() or [f"exit status {self._process.returncode}"]
        raise PeerError(lines[-1])

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cleanup.close()


def make_stretch(
    optimizer: str, *, steps: int, batch_size: int, layers: list[list[int]], beta: float, average_decay: float
) -> Callable[[], float]:
    """Makes the function that trains one epoch of random data and returns the last loss.

    Args:
      optimizer: eager, fused or compile.
      steps: of one epoch; the data set has steps * batch_size images.
      batch_size: images of one step.
      layers: inputs and outputs of each dense layer; the last one is the decoder.
      beta: weight of the rate.
      average_decay: of the Polyak average.
    """
    import torch
    from torch.nn import functional as F

    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    num_examples = steps * batch_size
    images = torch.rand(num_examples, layers[0][0]).mul_(2).sub_(1)
    labels = torch.randint(0, layers[-1][1], (num_examples,))
    params = []
    for fan_in, fan_out in layers:
        params.append(torch.nn.init.xavier_uniform_(torch.empty(fan_out, fan_in)).requires_grad_())
        params.append(torch.zeros(fan_out, requires_grad=True))
    average = [torch.zeros_like(param) for param in params]
    adam = torch.optim.Adam(params, lr=1e-4, betas=(0.5, 0.999), **({} if optimizer == "eager" else {"fused": True}))

    def loss_fn(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        hidden = inputs
        for index in range(0, len(params) - 4, 2):
            hidden = F.relu(F.linear(hidden, params[index], params[index + 1]))
        mean, rho = F.linear(hidden, params[-4], params[-3]).chunk(2, -1)
        scale = F.softplus(rho - 5.0)
        codes = mean + scale * torch.randn_like(mean)
        distortion = F.cross_entropy(F.linear(codes, params[-2], params[-1]), targets)
        rate = (0.5 * (mean.square() + scale.square() - 1.0) - scale.log()).sum(-1).mean()
        return distortion + beta * rate

    loss_and_graph = torch.compile(loss_fn) if optimizer == "compile" else loss_fn

    def stretch() -> float:
        order = torch.randperm(num_examples)
        for start in range(0, num_examples, batch_size):
            rows = order[start : start + batch_size]
            loss = loss_and_graph(images[rows], labels[rows])
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, params, 1.0 - average_decay)
        return loss.item()

    return stretch


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


def serve(arguments: Mapping[str, Any]) -> None:
    """Answers each line on standard input with one stretch, as JSON; libraries that print go to standard error."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    say = functools.partial(print, file=replies, flush=True)
    import torch

    stretch = make_stretch(**arguments)
    info = {"torch": torch.__version__, "threads": torch.get_num_threads(), "matmul_gflops": _matmul_gflops()}
    say(json.dumps(info))
    for _ in sys.stdin:
        start = time.perf_counter()
        loss = stretch()
        say(json.dumps({"seconds": time.perf_counter() - start, "loss": loss}))


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
