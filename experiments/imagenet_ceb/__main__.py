"""`python -m experiments.imagenet_ceb`; see run.py."""

from experiments.imagenet_ceb.run import launch

if __name__ == "__main__":
    launch()
