"""`python -m experiments.corruptions`; see run.py."""

from experiments.corruptions.run import launch

if __name__ == "__main__":
    launch()
