"""The worker of `experiments.attack_comparison.peers`: runs the libraries' attacks on a dense network in PyTorch.

The peers get a plain chain of dense layers without weight gradients, denormal numbers flushed to zero as in XLA, and
PyTorch's own number of threads. foolbox is called as its users do, which judges the result in one more forward pass.
"""

import contextlib
import importlib.util
import logging
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.attack_comparison.peers import ATTACKS, Request
from experiments.core import worker as torch_worker

if TYPE_CHECKING:
    import torch

Attack = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""(images [N, C, H, W] in [0, 1], labels [N]) -> adversarial images."""


def make_answer(task: str) -> torch_worker.Answer:
    """Loads the task; makes what runs a request."""
    import torch

    with np.load(task) as file:
        arrays = {name: np.asarray(value, np.int64 if name == "labels" else None) for name, value in file.items()}
    network = make_network(arrays)
    all_images = torch.from_numpy(arrays["images"].astype(np.float32)).permute(0, 3, 1, 2).contiguous()
    all_labels = torch.from_numpy(arrays["labels"])

    def answer(fields: Mapping[str, Any]) -> dict[str, Any]:
        request = Request(**fields)
        count = request.num_images or len(all_images)
        if count > len(all_images):
            raise ValueError(f"num_images must be at most {len(all_images)}, got {count}")
        images, labels = all_images[:count], all_labels[:count]
        attack, report = make_attack(request, network)
        rounds: list[float] = []
        while not rounds or sum(rounds) < request.min_seconds:
            torch.manual_seed(request.seed)
            begin = time.perf_counter()
            adversarial = attack(images, labels)
            rounds.append(time.perf_counter() - begin)
        found = adversarial.detach().permute(0, 2, 3, 1).numpy()
        np.savez(request.output, images=found)
        broken = int((~np.isfinite(found)).any((1, 2, 3)).sum())
        measured = {"seconds": statistics.median(rounds), "rounds": rounds, "num_images": count, "not_finite": broken}
        return measured | report()

    return answer


def make_network(arrays: Mapping[str, np.ndarray]) -> "torch.nn.Module":
    """The task's network, [N, C, H, W] -> logits [N, classes], for gradients by its inputs only."""
    import torch

    class InputMap(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 2 * images.permute(0, 2, 3, 1).flatten(1) - 1

    num_layers = sum(name.startswith("kernel_") for name in arrays)
    modules: list[torch.nn.Module] = [InputMap()]
    for index in range(num_layers):
        kernel, bias = (torch.from_numpy(arrays[f"{name}_{index}"].astype(np.float32)) for name in ("kernel", "bias"))
        layer = torch.nn.Linear(*kernel.shape)
        layer.weight.data, layer.bias.data = kernel.T.contiguous(), bias
        modules += [layer] if index >= num_layers - int(arrays["num_linear"]) else [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules).requires_grad_(False).eval()


def make_attack(request: Request, network: "torch.nn.Module") -> tuple[Attack, Callable[[], dict[str, Any]]]:
    """The attack on all images, and what there is to say about it after a run."""
    import torch

    library, _, name = request.attack.partition(".")
    if library == "pyautoattack":
        return _official_autoattack(request, network)
    settings = dict(request.settings)
    if library == "torchattacks":
        import torchattacks

        if name == "AutoAttack":
            settings = {"seed": request.seed} | settings  # else it takes the time of day
        run = getattr(torchattacks, name)(network, **settings)
    else:
        import foolbox

        epsilon = settings.pop("eps", None)
        peer, model = getattr(foolbox.attacks, name)(**settings), foolbox.PyTorchModel(network, bounds=(0, 1))

        def run(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            _, clipped, _ = peer(model, images, labels, epsilons=epsilon)
            return clipped

    def attack(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        batches = zip(images.split(request.batch_size), labels.split(request.batch_size), strict=True)
        return torch.cat([run(*batch) for batch in batches])

    return attack, dict


def _official_autoattack(request: Request, network: "torch.nn.Module") -> tuple[Attack, Callable[[], dict[str, Any]]]:
    import pyautoattack
    import torch

    settings = {"seed": request.seed} | dict(request.settings)
    changes = {name: settings.pop(name, None) for name in ("attacks", "n_iter", "n_queries", "n_target_classes")}
    peer = pyautoattack.AutoAttack(network, **settings)
    if changes["attacks"] is not None:
        # Its own way of choosing, version="custom", drops the settings of the standard version.
        peer.attacks_to_run = list(changes["attacks"])
    if changes["n_iter"] is not None:
        peer.fab.n_iter = changes["n_iter"]
        for apgd in (peer.apgd, peer.apgd_targeted):
            apgd.n_iter = apgd.n_iter_orig = changes["n_iter"]
            # The constructor derives these from its own number of iterations.
            shares = {"n_iter_2": 0.22, "n_iter_min": 0.06, "size_decr": 0.03}
            for name, share in shares.items():
                setattr(apgd, name, max(int(share * apgd.n_iter), 1))
    if changes["n_queries"] is not None:
        peer.square.n_queries = changes["n_queries"]
    if changes["n_target_classes"] is not None:
        peer.fab.n_target_classes = peer.apgd_targeted.n_target_classes = changes["n_target_classes"]
    lines: list[logging.LogRecord] = []

    def attack(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        lines.clear()
        with _collected(peer.logger, lines):
            return peer.run_standard_evaluation(images, labels, batch_size=request.batch_size)[0]

    return attack, lambda: _read_log(lines)


@contextlib.contextmanager
def _collected(logger: logging.Logger, lines: list[logging.LogRecord]) -> Iterator[None]:
    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record)

    handler = Collector()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _read_log(lines: Sequence[logging.LogRecord]) -> dict[str, Any]:
    """AutoAttack tells the accuracy after each attack only to its log."""
    accuracy = {}
    for line in lines:
        if found := re.match(r"(initial|robust) accuracy(?: after (\S+))?: ([\d.]+)%", line.getMessage()):
            accuracy[(found[2] or ("clean" if found[1] == "initial" else "all")).lower()] = float(found[3]) / 100
    warnings = dict.fromkeys(line.getMessage() for line in lines if line.levelno >= logging.WARNING)
    return {"robust_accuracy": accuracy, "warnings": list(warnings)}


if __name__ == "__main__":
    torch_worker.serve(make_answer, packages=["torch", *filter(importlib.util.find_spec, ATTACKS)])
