"""`python -m experiments.cifar10_ceb`; see run.py."""

from experiments.cifar10_ceb.run import launch

if __name__ == "__main__":
    launch()
