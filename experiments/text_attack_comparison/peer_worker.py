"""The worker of `peer.py`: runs TextAttack's recipes on a BERT of `transformers` with a linear head.

It imports nothing that TextAttack's environment lacks, JAX least of all.
"""

import dataclasses
import json
import pathlib
import random
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core import worker as torch_worker
from experiments.text_attack_comparison import package as textattack_package
from experiments.text_attack_comparison.peer import Attacked, Request, Task

if TYPE_CHECKING:
    import torch

RECIPES = {"deep_word_bug": "DeepWordBugGao2018", "pwws": "PWWSRen2019"}


def make_answer(task: str) -> torch_worker.Answer:
    """Loads the task; makes what runs a request."""
    import torch

    loaded = Task(**json.loads(pathlib.Path(task).read_text()))
    textattack = textattack_package.load(loaded.stop_words)
    model, tokeniser = make_model(loaded), make_tokeniser(loaded)

    def answer(fields: Mapping[str, Any]) -> dict[str, Any]:
        request = Request(**fields)
        wrapper = make_wrapper(textattack, request.wrapper, model, tokeniser)
        with textattack_package.no_downloads():
            attack = getattr(textattack.attack_recipes, RECIPES[request.attack]).build(wrapper)
        count = request.num_texts or len(loaded.texts)
        random.seed(request.seed)
        np.random.seed(request.seed)  # noqa: NPY002 - TextAttack draws from there
        torch.manual_seed(request.seed)
        begin = time.perf_counter()
        results = [attack.attack(*example) for example in zip(loaded.texts[:count], loaded.labels[:count], strict=True)]
        seconds = time.perf_counter() - begin
        kept = [dataclasses.asdict(plain(result)) for result in results]
        pathlib.Path(request.output).write_text(json.dumps(kept))
        return {"seconds": seconds, "model_seconds": wrapper.seconds, "num_scored": wrapper.count, "num_texts": count}

    return answer


def make_model(task: Task) -> Any:
    """The BERT, its tokens' mean, and the linear head, as a model for classification of `transformers`."""
    import torch
    from transformers import BertModel, BertPreTrainedModel
    from transformers.modeling_outputs import SequenceClassifierOutput

    class BertForSequenceClassification(BertPreTrainedModel):  # TextAttack looks at the name
        def __init__(self, bert: Any):
            super().__init__(bert.config)
            self.bert, self.head = bert, torch.nn.Linear(len(task.kernel), len(task.bias))

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            hidden = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return SequenceClassifierOutput(logits=self.head((hidden * mask).sum(1) / mask.sum(1)))

    model = BertForSequenceClassification(BertModel.from_pretrained(task.folder, add_pooling_layer=False))
    model.head.weight.data = torch.tensor(task.kernel).T.contiguous()
    model.head.bias.data = torch.tensor(task.bias)
    return model.requires_grad_(False).eval()


def make_tokeniser(task: Task) -> Any:
    """The tokeniser of the folder, the same file that this library reads, cutting at the task's length."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_file=f"{task.folder}/tokenizer.json",
        model_max_length=task.max_length,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def make_wrapper(textattack: Any, kind: str, model: Any, tokeniser: Any) -> Any:
    """The model as TextAttack asks it, with a clock: `seconds` and `count` of texts so far."""
    import torch

    wrappers: Any = textattack.models.wrappers

    class Lean(wrappers.ModelWrapper):
        def __init__(self) -> None:
            self.model = model

        def __call__(self, texts: Sequence[str]) -> "torch.Tensor":
            inputs = tokeniser(texts, padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                return model(**inputs).logits

    class Own(wrappers.HuggingFaceModelWrapper):
        def __init__(self) -> None:
            super().__init__(model, tokeniser)

    base: Any = Lean if kind == "lean" else Own

    class Clocked(base):
        seconds, count = 0.0, 0

        def __call__(self, texts: Sequence[str]) -> "torch.Tensor":
            begin = time.perf_counter()
            logits = super().__call__(texts)
            self.seconds, self.count = self.seconds + time.perf_counter() - begin, self.count + len(texts)
            return logits

    return Clocked()


def plain(result: Any) -> Attacked:
    """A result of TextAttack's, without its objects."""
    before, after = result.original_result, result.perturbed_result
    changed = sorted(before.attacked_text.all_words_diff(after.attacked_text))
    kind = type(result).__name__
    return Attacked(
        before.attacked_text.text,
        after.attacked_text.text,
        success=kind == "SuccessfulAttackResult",
        skipped=kind == "SkippedAttackResult",
        probabilities_before=before.raw_output.tolist(),
        probabilities_after=after.raw_output.tolist(),
        num_queries=int(result.num_queries),
        num_words=before.attacked_text.num_words,
        changed=changed,
        replacements=[after.attacked_text.words[index] for index in changed],
    )


if __name__ == "__main__":
    torch_worker.serve(make_answer, packages=["torch", "transformers", "textattack", "nltk"])
