"""`python -m experiments.theorems`; see run.py."""

from experiments.theorems.run import launch

if __name__ == "__main__":
    launch()
