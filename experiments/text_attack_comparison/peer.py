"""TextAttack's DeepWordBug and PWWS, in a process and, if wanted, an environment of its own.

    save_task(f"{folder}/task.json", Task(model_folder, kernel, bias, 256, texts, labels, stop_words))
    with start(f"{folder}/task.json", python="/its/environment/bin/python") as worker:
        reply = worker(dataclasses.asdict(Request("pwws", f"{folder}/out.json", wrapper="lean")))
    attacked = read_results(f"{folder}/out.json")

The recipes are the package's own, unchanged: batches of 32 texts, one text attacked after the other, its cache on. What
they do otherwise than the attacks of this library at equal settings:

- A stop word counts only in the case in which it is listed. `save_task` is given the list in small letters and writes
  it in capitals and with a capital too.
- Synonyms of PWWS come from WordNet in small letters, whatever the case of the word they replace.
- The letter that DeepWordBug inserts never comes after the word's last one; and a draw that leaves the word as it was
  is a candidate less.
- Words are cut differently where a text holds unusual characters.
- Random numbers come from one stream, so that a text's candidates depend on the texts before it.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

from experiments.core import worker as torch_worker
from experiments.text_attack_comparison.package import NEEDED

ATTACKS = ("deep_word_bug", "pwws")
WRAPPERS = ("lean", "own")


@dataclasses.dataclass(frozen=True)
class Task:
    """What a worker loads.

    Attributes:
      folder: of the BERT, an absolute path.
      kernel: float [H][C], from the mean of the tokens' vectors to logits.
      bias: float [C].
      max_length: tokens that a text is cut to.
      texts: N of them.
      labels: N.
      stop_words: in small letters.
    """

    folder: str
    kernel: list[list[float]]
    bias: list[float]
    max_length: int
    texts: list[str]
    labels: list[int]
    stop_words: list[str]


@dataclasses.dataclass(frozen=True)
class Request:
    """What a worker is asked to run.

    Attributes:
      attack: of `ATTACKS`.
      output: the .json to write, an absolute path.
      wrapper: "lean" pads a batch to its longest text; "own" is the package's HuggingFaceModelWrapper, which pads every
        text to `max_length`.
      num_texts: how many of the task's texts, from the first; 0: all.
      seed: set before the run.
    """

    attack: str
    output: str
    wrapper: str = "lean"
    num_texts: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.attack not in ATTACKS:
            raise ValueError(f"attack must be one of {', '.join(ATTACKS)}; got {self.attack!r}")
        if self.wrapper not in WRAPPERS:
            raise ValueError(f"wrapper must be one of {', '.join(WRAPPERS)}; got {self.wrapper!r}")
        if not os.path.isabs(self.output):
            raise ValueError(f"output must be an absolute path, got {self.output!r}")
        if self.num_texts < 0:
            raise ValueError(f"num_texts must be at least 0, got {self.num_texts}")


@dataclasses.dataclass(frozen=True)
class Attacked:
    """What TextAttack made of one text, by its own account.

    Attributes:
      original: the text.
      perturbed: the result; the original if it was skipped.
      success: whether the model's answer is a wrong class now.
      skipped: whether it was so from the start.
      probabilities_before, probabilities_after: of the classes.
      num_queries: texts that the model was asked about, cached ones too.
      num_words: of the original.
      changed: indices of the words that are another now.
      replacements: what stands there.
    """

    original: str
    perturbed: str
    success: bool
    skipped: bool
    probabilities_before: list[float]
    probabilities_after: list[float]
    num_queries: int
    num_words: int
    changed: list[int]
    replacements: list[str]


def interpreter(python: str = "") -> str:
    """The interpreter of TextAttack's environment: the one given, or else $TEXT_PEER_PYTHON, or else this one."""
    return python or os.environ.get("TEXT_PEER_PYTHON", "") or sys.executable


def missing(python: str = "") -> str:
    """Why TextAttack cannot run; empty if it can.

    Args:
      python: see `interpreter`.
    """
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


def save_task(path: str | os.PathLike[str], task: Task) -> None:
    """Writes what a worker loads.

    Raises:
      ValueError: the sizes do not fit.
    """
    if len(task.texts) != len(task.labels) or not task.texts:
        raise ValueError(f"there must be a label for each text, got {len(task.texts)} texts, {len(task.labels)} labels")
    if {len(row) for row in task.kernel} != {len(task.bias)}:
        raise ValueError(f"each row of kernel must be as long as bias, {len(task.bias)}")
    cased = {form for word in task.stop_words for form in (word.lower(), word.capitalize(), word.upper())}
    task = dataclasses.replace(task, stop_words=sorted(cased))
    pathlib.Path(path).write_text(json.dumps(dataclasses.asdict(task)))


def read_results(path: str | os.PathLike[str]) -> list[Attacked]:
    """What a request left at its `output`."""
    return [Attacked(**each) for each in json.loads(pathlib.Path(path).read_text())]


def start(task: str | os.PathLike[str], *, python: str = "", avx512: bool = False) -> torch_worker.Worker:
    """Starts the worker.

    Its reply to a `Request` has `seconds`; `model_seconds`, those of them spent in tokenising and in the model; and
    `num_scored`, the texts that the model was run on.

    Args:
      task: what `save_task` wrote.
      python: see `interpreter`.
      avx512: whether to force MKL's AVX-512 path on processors that are not Intel's.

    Raises:
      torch_worker.WorkerError: the worker ended before it was ready.
    """
    variables = {"PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    arguments = {"task": os.path.abspath(task)}
    return torch_worker.Worker(
        "experiments.text_attack_comparison.peer_worker",
        arguments,
        avx512=avx512,
        python=interpreter(python),
        environment=variables,
    )
