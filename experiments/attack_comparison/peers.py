"""Attacks of torchattacks, foolbox, pyautoattack (the official AutoAttack) and adv-lib, in a process of their own.

The worker, `python -m` this module, gets a plain chain of dense layers without weight gradients, denormal numbers
flushed to zero as in XLA, and PyTorch's own number of threads. foolbox is called as its users do, which judges the
result in one more forward pass. Success and distance are evaluated by the JAX model for all libraries, for these do not
agree on what they return, and some of it is wrong:

- foolbox's CW returns an all-zero image where it failed.
- torchattacks' CW takes atanh of exactly 0 and 1: such pixels, most of an MNIST image, never move. It masks the true
  class with 0, wrong where all other logits are negative. It stops when the cost of the whole batch rises (foolbox's,
  with `abort_early`, when it stalls): the rest of a batch has an influence.
- torchattacks' MIFGSM divides by the mean gradient: once that is zero, the image's momentum is NaN and its sign 0, so
  that the image stays where it is.
- torchattacks' PGDL2 adds 1e-10 to a gradient's norm, of a loss divided by the batch size: small gradients step less.
- torchattacks' AutoAttack runs 10 iterations of APGD and of FAB, where the official one runs 100.
- APGD, FAB and Square return the input itself where they failed, not their best try.
- adv-lib's FMN takes the radius from the linearisation alone until something is found; where the bounds cut its steps
  short it may never arrive, and the input is returned. With a radius that grows as well, as here, such searches arrive.
- adv-lib's DDN rounds images to 256 levels unless told otherwise, and so it is told here.
- PyTorch's cross-entropy loses the slope of the own logit once it leads by 17 nats, by rounding: attacks on it are
  weaker on sure images, the fewer steps the more. `logsumexp(l) - l_y` as the loss does the same here.
"""

import functools
import importlib.util
import logging.handlers
import re
import statistics
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core import worker as torch_worker

if TYPE_CHECKING:
    import torch

LIBRARIES = ("torchattacks", "foolbox", "pyautoattack", "adv_lib")
ADV_LIB = {"ddn": "decoupled_direction_norm", "fmn": "fast_minimum_norm", "sigma_zero": "sigma_zero"}
"""Attacks of adv-lib, and the modules that have them."""
NUM_LINEAR = 2  # last layers that no ReLU follows: the code's mean and the decoder


def missing(library: str, *, avx512: bool = False) -> str:
    """Why a library's attacks cannot run here; empty if they can."""
    reason = torch_worker.missing(["torch", library], "peers", avx512=avx512)
    if reason.startswith("not installed") and library == "adv_lib":
        return "not installed (pip install --no-deps adv-lib, see pyproject.toml)"
    return reason


def make_answer(task: str) -> torch_worker.Answer:
    """Loads the task, an .npz with images, labels, and kernel and bias of each layer; makes what runs an attack.

    A request names attack, settings, output (an .npz for the images, at an absolute path), num_images (0: all),
    batch_size (of one call), min_seconds (the attack is run again for so long) and seed (set before each run). The
    reply has the median `seconds` of the runs, without making the attack and saving; `not_finite`, images with a NaN or
    infinity in them; and for pyautoattack `by_its_own_account` (robust accuracy by
    attack, each after those before it, "clean" the first and "all" the last; without those that had nothing left to do)
    and `warnings`.
    """
    import torch

    with np.load(task) as file:
        arrays = {name: np.asarray(value, np.int64 if name == "labels" else None) for name, value in file.items()}
    network = make_network(arrays)
    all_images = torch.from_numpy(arrays["images"].astype(np.float32)).permute(0, 3, 1, 2).contiguous()
    all_labels = torch.from_numpy(arrays["labels"])

    def answer(request: Mapping[str, Any]) -> dict[str, Any]:
        count, seed = request.get("num_images") or len(all_images), request.get("seed", 0)
        if not 0 < count <= len(all_images):
            raise ValueError(f"num_images must be at most {len(all_images)}, got {count}")
        attack, report = make_attack(request["attack"], dict(request["settings"]), seed, network)
        size, rounds = request.get("batch_size", 1000), list[float]()
        while not rounds or sum(rounds) < request.get("min_seconds", 0.0):
            torch.manual_seed(seed)
            begin = time.perf_counter()
            adversarial = attack(all_images[:count].split(size), all_labels[:count].split(size))
            rounds.append(time.perf_counter() - begin)
        found = adversarial.detach().permute(0, 2, 3, 1).numpy()
        np.savez(request["output"], images=found)
        broken = int((~np.isfinite(found)).any((1, 2, 3)).sum())
        return {"seconds": statistics.median(rounds), "not_finite": broken, **report()}

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
        modules += [layer] if index >= num_layers - NUM_LINEAR else [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules).requires_grad_(False).eval()


Batches = Sequence["torch.Tensor"]
Attack = Callable[[Batches, Batches], "torch.Tensor"]
"""(batches of images [B, C, H, W] in [0, 1], of labels [B]) -> adversarial images."""


def make_attack(
    attack: str, settings: dict[str, Any], seed: int, network: "torch.nn.Module"
) -> tuple[Attack, Callable[[], dict[str, Any]]]:
    """The attack on all images, and what there is to say about it after a run.

    Args:
      attack: "library.Attack", by the library's own name.
      settings: likewise. "eps" goes to foolbox's call as `epsilons` (without it: no limit). pyautoattack's are norm,
        eps, version, seed, and over these attacks (those to run), n_iter (of APGD, FAB) and n_queries (of Square).
      seed: of the libraries that take one.
      network: what is attacked.
    """
    import torch

    library, _, name = attack.partition(".")
    if library == "pyautoattack":
        return _official_autoattack({"seed": seed} | settings, network)
    if library == "torchattacks":
        import torchattacks

        if name == "AutoAttack":
            settings = {"seed": seed} | settings  # else it takes the time of day
        run = getattr(torchattacks, name)(network, **settings)
    elif library == "adv_lib":
        run = functools.partial(_adv_lib_attack(name), network, **settings)
    else:
        import foolbox

        epsilon = settings.pop("eps", None)
        peer, model = getattr(foolbox.attacks, name)(**settings), foolbox.PyTorchModel(network, bounds=(0, 1))

        def run(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return peer(model, images, labels, epsilons=epsilon)[1]

    return lambda images, labels: torch.cat(list(map(run, images, labels))), dict


def _adv_lib_attack(name: str) -> Callable[..., "torch.Tensor"]:
    """An attack's own module, without the package around it, which imports a server for plots that is not needed."""
    import adv_lib

    package = types.ModuleType("adv_lib.attacks")
    package.__path__ = [f"{folder}/attacks" for folder in adv_lib.__path__]
    sys.modules.setdefault("adv_lib.attacks", package)
    sys.modules.setdefault("visdom", types.ModuleType("visdom"))
    attack = getattr(importlib.import_module(f"adv_lib.attacks.{ADV_LIB[name]}"), name)

    def run(*batch: Any, **settings: Any) -> "torch.Tensor":
        if "norm" in settings:
            settings["norm"] = float(settings["norm"])  # "inf" comes as text
        return attack(*batch, **settings)

    return run


def _official_autoattack(
    settings: dict[str, Any], network: "torch.nn.Module"
) -> tuple[Attack, Callable[[], dict[str, Any]]]:
    import pyautoattack
    import torch

    chosen, num_steps, num_queries = (settings.pop(name, None) for name in ("attacks", "n_iter", "n_queries"))
    peer = pyautoattack.AutoAttack(network, **settings)
    if chosen is not None:
        # Its own way of choosing, version="custom", drops the settings of the standard version.
        peer.attacks_to_run = list(chosen)
    if num_steps is not None:
        peer.fab.n_iter = num_steps
        for apgd in (peer.apgd, peer.apgd_targeted):
            apgd.n_iter = apgd.n_iter_orig = num_steps
            # The constructor derives these from its own number of iterations.
            for name, share in {"n_iter_2": 0.22, "n_iter_min": 0.06, "size_decr": 0.03}.items():
                setattr(apgd, name, max(int(share * num_steps), 1))
    if num_queries is not None:
        peer.square.n_queries = num_queries
    log = logging.handlers.BufferingHandler(1_000_000)
    peer.logger.handlers = [log]  # the logger is one for all of its attacks
    peer.logger.setLevel(logging.DEBUG)

    def run(images: Batches, labels: Batches) -> torch.Tensor:
        log.flush()
        whole = torch.cat(list(images)), torch.cat(list(labels))
        return peer.run_standard_evaluation(*whole, batch_size=len(labels[0]))[0]

    return run, lambda: _read_log(log.buffer)


def _read_log(lines: Sequence[logging.LogRecord]) -> dict[str, Any]:
    """AutoAttack tells the accuracy after each attack only to its log."""
    accuracy = {}
    for line in lines:
        if found := re.match(r"(initial|robust) accuracy(?: after (\S+))?: ([\d.]+)%", line.getMessage()):
            accuracy[(found[2] or ("clean" if found[1] == "initial" else "all")).lower()] = float(found[3]) / 100
    warnings = dict.fromkeys(line.getMessage() for line in lines if line.levelno >= logging.WARNING)
    return {"by_its_own_account": accuracy, "warnings": list(warnings)}


if __name__ == "__main__":
    torch_worker.serve(make_answer, packages=["torch", *filter(importlib.util.find_spec, LIBRARIES)])
