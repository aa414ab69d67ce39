"""`python -m experiments.information_curve`; see run.py."""

from experiments.information_curve.run import launch

if __name__ == "__main__":
    launch()
