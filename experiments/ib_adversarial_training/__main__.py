"""`python -m experiments.ib_adversarial_training`; see run.py."""

from experiments.ib_adversarial_training.run import launch

if __name__ == "__main__":
    launch()
