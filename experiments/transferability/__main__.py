"""`python -m experiments.transferability`; see run.py."""

from experiments.transferability.run import launch

if __name__ == "__main__":
    launch()
