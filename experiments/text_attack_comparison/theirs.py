"""TextAttack's side of the comparison: asked in its process, judged here."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.core import worker as torch_worker
from experiments.text_attack_comparison import outcome as text_attack_outcome
from experiments.text_attack_comparison import peer as text_peer
from experiments.text_attack_comparison import victim as text_victim
from experiments.text_attack_comparison.outcome import Judge, Outcome
from experiments.text_attack_comparison.settings import PEERS, Row, TextComparisonConfig
from ib_jax.attacks import text


class Peers:
    """TextAttack, in a process for each way to start one, begun when it is first needed."""

    def __init__(
        self, config: TextComparisonConfig, victim: text_victim.TextVictim, texts: Sequence[str], labels: np.ndarray
    ):
        self._config, self._victim, self._texts, self._labels = config, victim, list(texts), labels
        self._stack = contextlib.ExitStack()
        self._folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._workers: dict[bool, torch_worker.Worker] = {}
        self.info: dict[str, Any] = {}

    def __call__(
        self, row: Row, peer: str, judge: Judge, ours: Outcome
    ) -> tuple[dict[str, Any], list[text_peer.Attacked]]:
        """What TextAttack achieved, and its results; `status` is "measured", or why there is nothing."""
        wrapper, avx512 = PEERS[peer]
        reason = text_peer.missing(self._config.peer_python)
        if reason or (avx512 and (reason := torch_worker.missing([], "text-peers", avx512=True))):
            return {"status": reason}, []
        output = str(self._folder / "out.json")
        request = text_peer.Request(row.group, output, wrapper, self._config.texts_of(peer), self._config.seed)
        try:
            reply = self._start(avx512)(dataclasses.asdict(request))
        except (torch_worker.WorkerError, OSError) as error:
            return {"status": str(error)}, []
        found = text_peer.read_results(output)
        claims = [each.success for each in found]
        theirs = judge(
            [each.perturbed for each in found], claims, [each.num_queries for each in found], reply["seconds"]
        )
        before = np.array([each.probabilities_before for each in found])
        told = {
            "status": "measured",
            "model_seconds": reply["model_seconds"],
            "num_scored": reply["num_scored"],
            "models_apart": float(np.abs(before - judge.clean[: len(found)]).max()),
        }
        return theirs.summary() | told | {"beside": text_attack_outcome.compare(ours, theirs)}, found

    def _start(self, avx512: bool) -> torch_worker.Worker:
        if avx512 not in self._workers:
            task = self._folder / "task.json"
            encoder = self._victim.encoder
            folder = text_victim.save_encoder(encoder, self._config.encoder, self._folder / "model")
            stop_words = sorted(_stop_words())
            fields = (self._victim.kernel.tolist(), self._victim.bias.tolist(), encoder.tokenise.max_length)
            text_peer.save_task(
                task, text_peer.Task(str(folder), *fields, self._texts, self._labels.tolist(), stop_words)
            )
            worker = text_peer.start(task, python=self._config.peer_python, avx512=avx512)
            self._workers[avx512] = self._stack.enter_context(worker)
            self.info["avx512" if avx512 else "plain"] = dict(worker.info)
        return self._workers[avx512]

    def __enter__(self) -> "Peers":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()


def as_results(found: Sequence[text_peer.Attacked], labels: np.ndarray) -> list[text.TextResult]:
    """TextAttack's results in the form of this library's."""
    return [
        text.TextResult(
            each.original,
            each.perturbed,
            label,
            int(np.argmax(each.probabilities_before)),
            int(np.argmax(each.probabilities_after)),
            each.success,
            each.skipped,
            each.num_queries,
            each.num_words,
            tuple(each.changed),
            tuple(each.replacements),
        )
        for each, label in zip(found, labels.tolist(), strict=True)
    ]


def _stop_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return ENGLISH_STOP_WORDS
