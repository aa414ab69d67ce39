"""`python -m experiments.attack_comparison`; see run.py."""

from experiments.attack_comparison.run import launch

if __name__ == "__main__":
    launch()
