"""The worker of `textattack.py`: runs TextAttack's recipes on a BERT of `transformers` with a linear head.

It imports nothing that TextAttack's environment lacks, JAX least of all. The package's own import loads some twenty
others, flair among them, downloads corpora of nltk's, and reads nltk's stop words. DeepWordBug and PWWS use none of it:
packages that are not installed are replaced by empty modules, the downloads are declared done, and the stop words are
the task's.
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
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.core.worker import Answer, serve

PRETENDED = (
    *("bert_score", "datasets", "flair", "jieba", "langdetect", "language_tool_python", "lemminflect", "Levenshtein"),
    *("more_itertools", "num2words", "OpenHowNet", "pandas", "pinyin", "terminaltables", "word2number"),
)
"""What is imported with it but not used by the two recipes on English text."""
RECIPES = {"deep_word_bug": "DeepWordBugGao2018", "pwws": "PWWSRen2019"}


def make_answer(task: str) -> Answer:
    """Loads what `TextAttack` wrote; makes what answers its requests."""
    import numpy as np
    import torch

    loaded = json.loads(pathlib.Path(task).read_text())
    textattack = import_textattack(loaded["stop_words"])
    model, tokeniser = _model(loaded), _tokeniser(loaded)

    def answer(request: Mapping[str, Any]) -> dict[str, Any]:
        wrapper = _wrapper(textattack, request["wrapper"], model, tokeniser)
        with _no_downloads():
            attack = getattr(textattack.attack_recipes, RECIPES[request["attack"]]).build(wrapper)
        examples = list(zip(loaded["texts"], loaded["labels"], strict=True))[: request["num_texts"]]
        random.seed(request["seed"])
        np.random.seed(request["seed"])  # noqa: NPY002 - TextAttack draws from there
        torch.manual_seed(request["seed"])
        begin = time.perf_counter()
        results = [attack.attack(*example) for example in examples]
        seconds = time.perf_counter() - begin
        return {
            "results": [_fields(result, label) for result, (_, label) in zip(results, examples, strict=True)],
            "probabilities": [
                [side.raw_output.tolist() for side in (result.original_result, result.perturbed_result)]
                for result in results
            ],
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


@contextlib.contextmanager
def _no_downloads() -> Iterator[None]:
    """PWWS asks for a corpus of other languages each time it is built; English needs WordNet alone."""
    import nltk

    download, nltk.download = nltk.download, lambda *args, **kwargs: False
    try:
        yield
    finally:
        nltk.download = download


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
    serve(make_answer, packages=["torch", "transformers", "textattack", "nltk"])
