"""`python -m experiments.feature_entropy`; see run.py."""

from experiments.feature_entropy.run import launch

if __name__ == "__main__":
    launch()
