"""Fine-tune a BERT end to end on film reviews, and hand it on as a Hugging Face checkpoint.

Paper:    Weingarten et al., VUB (2024), section 4.2: BERT-base-uncased fine-tuned on IMDB, whose features are then
          frozen for the bottlenecks of `experiments.imdb_vub`. How it was fine-tuned is not told; here the usual way.
Run:      python -m experiments.imdb_finetune                       a small BERT from scratch on made-up reviews
          python -m experiments.imdb_finetune --preset=paper        bert-base-uncased on IMDB, 512 tokens
          python -m experiments.imdb_finetune --preset=small --encoder=FOLDER --num_train_texts=12000 --num_epochs=2
          python -m experiments.imdb_finetune --objective=vub --beta=1e-3 --train_file=train.tsv --test_file=dev.tsv
          python -m experiments.imdb_vub --encoder=WORKDIR/encoder  bottlenecks on the fine-tuned features
Does:     trains all layers through a linear head, or through a bottleneck's, by AdamW with warm-up, linear decay and
          rates that fall with depth; over all devices of all processes. Texts of like length make a batch, padded to
          one of few lengths. The last checkpoint is evaluated on the held-out and the test texts and exported.
Needs:    pip install ib-jax[text]; imdb_reviews prepared by tensorflow-datasets as array_record for the other presets.
Cost:     MiniLM (22.7 million weights) at 128 tokens trains on 10 texts a second on one core of two.
Expect:   IMDB with BERT-base: some 6 % error is what others report (Sun et al. 2019: 5.4 %). Not measured here. MiniLM,
          12,000 reviews, two epochs, --learning_rate=1e-4: 14.4 %, where its frozen features have 24.5 %.
Leaves:   config.json, metrics.jsonl, results.json, table.md and checkpoints in the workdir, and the encoder
          (config.json, model.safetensors, tokenizer.json), with its classifier if that is linear, in encoder/ there,
          or in --export.
"""

from experiments.core import app
from experiments.imdb_finetune.run import run
from experiments.imdb_finetune.settings import ERRORS, PRESETS, FinetuneConfig

if __name__ == "__main__":
    app.main(run, FinetuneConfig, doc=__doc__, presets=PRESETS, errors=ERRORS)
