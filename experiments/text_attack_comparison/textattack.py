"""TextAttack's DeepWordBug and PWWS, run by a worker in a process and, if wanted, an environment of its own.

The recipes are the package's own, unchanged: batches of 32 texts, one text attacked after the other, its cache on. What
they do otherwise than the attacks of this library at equal settings:

- A stop word counts only in the case in which it is listed; here each is listed in capitals and with a capital too.
- Synonyms of PWWS come from WordNet in small letters, whatever the case of the word they replace.
- The letter that DeepWordBug inserts never comes after the word's last one; and a draw that leaves the word as it was
  is a candidate less.
- Words are cut differently where a text holds unusual characters.
- Random numbers come from one stream, so that a text's candidates depend on the texts before it.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from experiments.core.worker import Worker, WorkerError
from experiments.core.worker import missing as missing_for_worker
from experiments.text_attack_comparison.settings import WAYS
from experiments.text_attack_comparison.text_classifier import TextClassifier
from ib_jax.attacks.text import TextResult

NEEDED = ("torch", "transformers", "textattack", "nltk", "lru", "editdistance", "filelock", "requests", "tqdm")
"""What has to be installed."""


class TextAttack:
    """TextAttack on a classifier and texts, in a process for each way to start one, begun when it is first needed.

    Args:
      classifier: what is attacked.
      texts: N of them.
      labels: int [N].
      python: the interpreter of its environment; see `interpreter`.

    Attributes:
      info: versions, threads and speed of each process.
    """

    def __init__(self, classifier: TextClassifier, texts: Sequence[str], labels: np.ndarray, *, python: str = ""):
        self._classifier, self._texts, self._labels, self._python = classifier, list(texts), labels, python
        self._stack = contextlib.ExitStack()
        self._folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._workers: dict[bool, Worker] = {}
        self.info: dict[str, Any] = {}

    def __call__(self, attack: str, way: str, *, num_texts: int = 0, seed: int = 0) -> dict[str, Any]:
        """Attacks texts.

        Args:
          attack: "deep_word_bug" or "pwws".
          way: of `WAYS`.
          num_texts: how many of the texts, from the first; 0: all.
          seed: set before the run.

        Returns:
          `results`, a `TextResult` for each text, by TextAttack's own account; `probabilities`, for each text the
          classes' before and after; `seconds`; `model_seconds`, those of them spent in tokenising and in the model; and
          `num_scored`, texts that the model was run on.

        Raises:
          WorkerError: it cannot run here, or failed; the message says why.
        """
        wrapper, avx512 = WAYS[way]
        request = {"attack": attack, "wrapper": wrapper, "num_texts": num_texts or len(self._texts), "seed": seed}
        reply = self._worker(avx512)(request)
        results = []
        for fields in reply["results"]:
            tuples = {name: tuple(fields[name]) for name in ("changed", "replacements")}
            results.append(TextResult(**fields | tuples))
        return reply | {"results": results}

    def _worker(self, avx512: bool) -> Worker:
        if avx512 not in self._workers:
            reason = missing(self._python) or (missing_for_worker([], "text-peers", avx512=True) if avx512 else "")
            if reason:
                raise WorkerError(reason)
            try:
                started = Worker(
                    "experiments.text_attack_comparison.worker",
                    {"task": self._task()},
                    avx512=avx512,
                    python=interpreter(self._python),
                    environment={"PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"},
                )
            except OSError as error:
                raise WorkerError(str(error)) from error
            self._workers[avx512] = self._stack.enter_context(started)
            self.info["avx512" if avx512 else "plain"] = dict(started.info)
        return self._workers[avx512]

    def _task(self) -> str:
        """Writes what the worker loads; its path."""
        path, classifier = self._folder / "task.json", self._classifier
        if not path.exists():
            classifier.encoder.save(self._folder / "model")
            task = {
                "folder": str(self._folder / "model"),
                "kernel": classifier.kernel.tolist(),
                "bias": classifier.bias.tolist(),
                "max_length": classifier.encoder.tokenise.max_length,
                "texts": self._texts,
                "labels": self._labels.tolist(),
                "stop_words": in_every_case(ENGLISH_STOP_WORDS),
            }
            path.write_text(json.dumps(task))
        return str(path)

    def __enter__(self) -> "TextAttack":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()


def interpreter(python: str = "") -> str:
    """The interpreter of TextAttack's environment: the one given, or else $TEXT_PEER_PYTHON, or else this one."""
    return python or os.environ.get("TEXT_PEER_PYTHON", "") or sys.executable


def missing(python: str = "") -> str:
    """Why TextAttack cannot run with an interpreter (see `interpreter`); empty if it can."""
    python = interpreter(python)
    code = "import importlib.util as u, sys; print(*(name for name in sys.argv[1:] if u.find_spec(name) is None))"
    try:
        done = subprocess.run([python, "-c", code, *NEEDED], capture_output=True, text=True)
    except OSError as error:
        return f"cannot start {python}: {error.strerror}"
    if done.returncode:
        return f"{python} failed: {done.stderr.strip().splitlines()[-1]}"
    if absent := done.stdout.split():
        return f"{', '.join(absent)} not installed (see the extra text-peers of ib-jax)"
    return ""


def in_every_case(words: Iterable[str]) -> list[str]:
    """Words in small letters, in capitals and with a capital.

    Example:
      >>> in_every_case(["the"])
      ['THE', 'The', 'the']
    """
    return sorted({form for word in words for form in (word.lower(), word.capitalize(), word.upper())})
