"""`python -m experiments.mnist_objectives`; see run.py."""

from experiments.mnist_objectives.run import launch

if __name__ == "__main__":
    launch()
