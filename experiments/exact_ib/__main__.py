"""`python -m experiments.exact_ib`; see run.py."""

from experiments.exact_ib.run import launch

if __name__ == "__main__":
    launch()
