"""`python -m experiments.mnist_robustness`; see run.py."""

from experiments.mnist_robustness.run import launch

if __name__ == "__main__":
    launch()
