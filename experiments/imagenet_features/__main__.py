"""`python -m experiments.imagenet_features`; see run.py."""

from experiments.imagenet_features.run import launch

if __name__ == "__main__":
    launch()
