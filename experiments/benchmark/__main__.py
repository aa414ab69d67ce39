"""`python -m experiments.benchmark`; see run.py."""

from experiments.benchmark.run import launch

if __name__ == "__main__":
    launch()
