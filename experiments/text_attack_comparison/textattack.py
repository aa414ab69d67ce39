"""TextAttack's DeepWordBug and PWWS, run by a worker in a process and, if wanted, an environment of its own.

The recipes are the package's own, unchanged: batches of 32 texts, one text attacked after the other, its cache on. What
they do otherwise than the attacks of this library at equal settings:

- A stop word counts only in the case in which it is listed; here each is listed in capitals and with a capital too.
- Synonyms of PWWS come from WordNet in small letters, whatever the case of the word they replace.
- The letter that DeepWordBug inserts never comes after the word's last one; and a draw that leaves the word as it was
  is a candidate less.
- Words are cut differently where a text holds unusual characters.
- Random numbers come from one stream, so that a text's candidates depend on the texts before it.

The worker, `python -m` this module, imports nothing that TextAttack's environment lacks, JAX least of all. The
package's own import loads some twenty others, flair among them, downloads corpora of nltk's, and reads nltk's stop
words. The two recipes use none of it: packages that are not installed are replaced by empty modules, the downloads are
declared done, and the stop words are the task's.
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from unittest import mock

from experiments.core import worker

if TYPE_CHECKING:
    import numpy as np

    from experiments.text_attack_comparison.model import TextClassifier

MODULE = "experiments.text_attack_comparison.textattack"
NEEDED = ("torch", "transformers", "textattack", "nltk", "lru", "editdistance", "filelock", "requests", "tqdm")
"""What has to be installed."""
PRETENDED = (
    *("bert_score", "datasets", "flair", "jieba", "langdetect", "language_tool_python", "lemminflect", "Levenshtein"),
    *("more_itertools", "num2words", "OpenHowNet", "pandas", "pinyin", "terminaltables", "word2number"),
)
"""What is imported with it but not used by the two recipes on English text."""
RECIPES = {"deep_word_bug": "DeepWordBugGao2018", "pwws": "PWWSRen2019"}


class TextAttack(worker.Workers):
    """TextAttack on a classifier and texts, in processes that start when they are first needed; see `interpreter`."""

    def __init__(self, classifier: "TextClassifier", texts: Sequence[str], labels: "np.ndarray", *, python: str = ""):
        def start(avx512: bool, folder: pathlib.Path) -> worker.Worker:
            reason = missing(python) or (worker.missing([], "text-peers", avx512=True) if avx512 else "")
            if reason:
                raise worker.WorkerError(reason)
            if not (folder / "task.json").exists():
                classifier.encoder.save(folder / "model")
                task = {
                    "folder": str(folder / "model"),
                    "kernel": classifier.kernel.tolist(),
                    "bias": classifier.bias.tolist(),
                    "max_length": classifier.encoder.tokenise.max_length,
                    "texts": list(texts),
                    "labels": labels.tolist(),
                    "stop_words": stop_words(),
                }
                (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
            variables = {"PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
            arguments = {"task": str(folder / "task.json")}
            return worker.Worker(MODULE, arguments, avx512=avx512, python=interpreter(python), environment=variables)

        super().__init__(start)

    def __call__(self, attack: str, way: str, *, num_texts: int | None = None, seed: int = 0) -> dict[str, Any]:
        """Attacks texts.

        Args:
          attack: "deep_word_bug" or "pwws".
          way: "lean" or "own", the wrapper of the model; with "_avx512" MKL's AVX-512 path is forced.
          num_texts: how many of the texts, from the first; None: all.
          seed: set before the run.

        Returns:
          `results`, a `TextResult` for each text, by TextAttack's own account; `probabilities`, for each text the
          classes' before and after; `seconds`; `model_seconds`, those of them spent in tokenising and in the model; and
          `num_scored`, texts that the model was run on.

        Raises:
          WorkerError: it cannot run here, or failed; the message says why.
        """
        from ib_jax.attacks.text import TextResult  # JAX

        wrapper, _, forced = way.partition("_")
        request = {"attack": attack, "wrapper": wrapper, "num_texts": num_texts, "seed": seed}
        reply = self.ask(request, avx512=bool(forced))
        results = []
        for fields in reply["results"]:
            tuples = {name: tuple(fields[name]) for name in ("changed", "replacements")}
            results.append(TextResult(**fields | tuples))
        return reply | {"results": results}


def interpreter(python: str = "") -> str:
    """The interpreter of TextAttack's environment: the one given, or else $TEXT_PEER_PYTHON, or else this one."""
    return python or os.environ.get("TEXT_PEER_PYTHON", "") or sys.executable


def missing(python: str = "") -> str:
    """Why TextAttack cannot run with an interpreter (see `interpreter`); empty if it can."""
    python = interpreter(python)
    code = "import importlib.util as u, sys; print(*(name for name in sys.argv[1:] if u.find_spec(name) is None))"
    try:
        done = subprocess.run([python, "-c", code, *NEEDED], capture_output=True, encoding="utf-8")
    except OSError as error:
        return f"cannot start {python}: {error.strerror}"
    if done.returncode:
        return f"{python} failed: {done.stderr.strip().splitlines()[-1]}"
    if absent := done.stdout.split():
        return f"{', '.join(absent)} not installed (see the extra text-peers of ib-jax)"
    return ""


def stop_words() -> list[str]:
    """scikit-learn's English ones in small letters, in capitals and with a capital."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return sorted({form for word in ENGLISH_STOP_WORDS for form in (word, word.capitalize(), word.upper())})


def make_answer(task: str) -> worker.Answer:
    """Loads what `TextAttack` wrote; makes what answers its requests."""
    import numpy as np
    import torch

    loaded = json.loads(pathlib.Path(task).read_text(encoding="utf-8"))
    textattack = import_textattack(loaded["stop_words"])
    model, tokeniser = _model(loaded), _tokeniser(loaded)

    def answer(request: Mapping[str, Any]) -> dict[str, Any]:
        wrapper = _wrapper(textattack, request["wrapper"], model, tokeniser)
        # PWWS asks for a corpus of other languages each time it is built; English needs WordNet alone.
        with mock.patch("nltk.download", return_value=False):
            attack = getattr(textattack.attack_recipes, RECIPES[request["attack"]]).build(wrapper)
        examples = list(zip(loaded["texts"], loaded["labels"], strict=True))[: request["num_texts"]]
        random.seed(request["seed"])
        np.random.seed(request["seed"])  # noqa: NPY002 - TextAttack draws from there
        torch.manual_seed(request["seed"])
        begin = time.perf_counter()
        results = [attack.attack(*example) for example in examples]
        seconds = time.perf_counter() - begin
        sides = [(result.original_result, result.perturbed_result) for result in results]
        return {
            "results": [_fields(result, label) for result, (_, label) in zip(results, examples, strict=True)],
            "probabilities": [[side.raw_output.tolist() for side in pair] for pair in sides],
            "seconds": seconds,
            "model_seconds": wrapper.seconds,
            "num_scored": wrapper.count,
        }

    return answer


def _fields(result: Any, label: int) -> dict[str, Any]:
    """The fields of a `TextResult`."""
    before, after, kind = result.original_result, result.perturbed_result, type(result).__name__
    changed = sorted(before.attacked_text.all_words_diff(after.attacked_text))
    return {
        "original": before.attacked_text.text,
        "perturbed": after.attacked_text.text,
        "label": label,
        "prediction_before": int(before.raw_output.argmax()),
        "prediction_after": int(after.raw_output.argmax()),
        "success": kind == "SuccessfulAttackResult",
        "skipped": kind == "SkippedAttackResult",
        "num_queries": int(result.num_queries),
        "num_words": before.attacked_text.num_words,
        "changed": changed,
        "replacements": [after.attacked_text.words[index] for index in changed],
    }


def _model(task: Mapping[str, Any]) -> Any:
    """The BERT, its tokens' mean, and the linear head, as a model for classification of `transformers`."""
    import torch
    from transformers import BertModel, BertPreTrainedModel
    from transformers.modeling_outputs import SequenceClassifierOutput

    class BertForSequenceClassification(BertPreTrainedModel):  # TextAttack looks at the name
        def __init__(self, bert: Any):
            super().__init__(bert.config)
            self.bert, self.head = bert, torch.nn.Linear(len(task["kernel"]), len(task["bias"]))

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            hidden = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return SequenceClassifierOutput(logits=self.head((hidden * mask).sum(1) / mask.sum(1)))

    model = BertForSequenceClassification(BertModel.from_pretrained(task["folder"], add_pooling_layer=False))
    model.head.weight.data = torch.tensor(task["kernel"]).T.contiguous()
    model.head.bias.data = torch.tensor(task["bias"])
    return model.requires_grad_(False).eval()


def _tokeniser(task: Mapping[str, Any]) -> Any:
    """The tokeniser of the folder, the same file that this library reads, cutting at the task's length."""
    from transformers import PreTrainedTokenizerFast

    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    file = f"{task['folder']}/tokenizer.json"
    return PreTrainedTokenizerFast(tokenizer_file=file, model_max_length=task["max_length"], **special)


def _wrapper(textattack: Any, name: str, model: Any, tokeniser: Any) -> Any:
    """The model as TextAttack asks it, with a clock: `seconds` and `count` of texts so far."""
    import torch

    wrappers: Any = textattack.models.wrappers

    class Lean(wrappers.ModelWrapper):
        def __init__(self, model: Any, tokeniser: Any):
            self.model, self.tokeniser = model, tokeniser

        def __call__(self, texts: Sequence[str]) -> Any:
            inputs = self.tokeniser(texts, padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                return self.model(**inputs).logits

    base: Any = Lean if name == "lean" else wrappers.HuggingFaceModelWrapper

    class Clocked(base):
        seconds, count = 0.0, 0

        def __call__(self, texts: Sequence[str]) -> Any:
            begin = time.perf_counter()
            logits = super().__call__(texts)
            self.seconds, self.count = self.seconds + time.perf_counter() - begin, self.count + len(texts)
            return logits

    return Clocked(model, tokeniser)


def import_textattack(stop_words: Sequence[str]) -> Any:
    """The package, with these words for nltk's English stop words."""
    import nltk.corpus

    nltk.corpus.stopwords = types.SimpleNamespace(words=lambda language: list(stop_words))
    with tempfile.TemporaryDirectory() as folder, pretended(PRETENDED):
        (pathlib.Path(folder) / "post_install_check_3").touch()  # else it downloads
        os.environ["TA_CACHE_DIR"] = folder
        return importlib.import_module("textattack")


class _EmptyModule(types.ModuleType):
    """Has every class, without content, and every submodule."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name[0].isupper():
            return type(name, (), {})
        return importlib.import_module(f"{self.__name__}.{name}")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, names: Sequence[str]):
        self._names = frozenset(names)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        known = name.partition(".")[0] in self._names
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _EmptyModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


@contextlib.contextmanager
def pretended(names: Sequence[str]) -> Iterator[None]:
    """Has empty modules for those of the packages that are not installed."""
    finder = _Finder([name for name in names if importlib.util.find_spec(name) is None])
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


if __name__ == "__main__":
    worker.serve(make_answer, packages=["torch", "transformers", "textattack", "nltk"])
