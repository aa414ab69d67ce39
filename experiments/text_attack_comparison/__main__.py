"""`python -m experiments.text_attack_comparison`; see run.py."""

from experiments.text_attack_comparison.run import launch

if __name__ == "__main__":
    launch()
