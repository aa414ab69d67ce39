"""`python -m experiments.mnist_vib`; see run.py."""

from experiments.mnist_vib.run import launch

if __name__ == "__main__":
    launch()
