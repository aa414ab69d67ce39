"""`python -m experiments.imdb_vub`; see run.py."""

from experiments.imdb_vub.run import launch

if __name__ == "__main__":
    launch()
