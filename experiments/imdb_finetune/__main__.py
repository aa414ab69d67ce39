"""`python -m experiments.imdb_finetune`; see run.py."""

from experiments.imdb_finetune.run import launch

if __name__ == "__main__":
    launch()
