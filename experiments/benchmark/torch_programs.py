"""The PyTorch side of `experiments.benchmark`: the same VIB step, each variant in a process of its own.

The peers get the best honest form: parameters in a plain list and functional calls, images held as float32 and already
scaled (JAX holds bytes and scales them in each step), no decay of the learning rate, denormal numbers flushed to zero
as XLA does, PyTorch's own number of threads.
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

from experiments.core import worker as torch_worker

AVX512 = "-avx512"
PEERS = tuple(name + suffix for suffix in ("", AVX512) for name in ("eager", "fused", "compile"))
"""eager: plain Adam; fused: fused Adam; compile: torch.compile and fused Adam; -avx512: MKL's AVX-512 path forced."""

LABELS = {"eager": "eager", "fused": "fused Adam", "compile": "compile, fused Adam"}


def label(peer: str) -> str:
    """A peer's name for a table."""
    text = f"PyTorch, {LABELS[peer.removesuffix(AVX512)]}"
    return f"{text}, AVX-512" if peer.endswith(AVX512) else text


def missing(peer: str) -> str:
    """Why a peer cannot run here; empty if it can."""
    reason = torch_worker.missing(["torch"], "benchmark", avx512=peer.endswith(AVX512))
    if not reason and peer.startswith("compile"):
        compilers = filter(None, (os.environ.get("CXX"), shutil.which("g++"), shutil.which("clang++")))
        reason = "" if any(compilers) else "skipped: torch.compile needs a C++ compiler"
    return reason


def start(peer: str, sizes: Mapping[str, Any]) -> torch_worker.Worker:
    """Starts a peer; it trains one stretch for each request, and replies with its `seconds` and last `loss`.

    Args:
      peer: one of `PEERS`.
      sizes: what `make_stretch` takes, as keyword arguments.

    Raises:
      torch_worker.WorkerError: the peer ended before it was ready.
    """
    arguments = {"optimizer": peer.removesuffix(AVX512)} | dict(sizes)
    return torch_worker.Worker("experiments.benchmark.torch_programs", arguments, avx512=peer.endswith(AVX512))


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


def make_answer(**arguments: Any) -> torch_worker.Answer:
    """Makes what answers each request with one stretch; `arguments` are those of `make_stretch`."""
    stretch = make_stretch(**arguments)

    def answer(request: Mapping[str, Any]) -> dict[str, float]:
        del request
        begin = time.perf_counter()
        loss = stretch()
        return {"seconds": time.perf_counter() - begin, "loss": loss}

    return answer


if __name__ == "__main__":
    torch_worker.serve(make_answer, packages=["torch"])
