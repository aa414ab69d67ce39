"""Train against attacks in different ratios, and set the entropy of the features against robustness: Figure 4."""
