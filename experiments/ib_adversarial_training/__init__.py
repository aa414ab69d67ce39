"""Combine the information bottleneck with adversarial training, and attack what comes out: Tables 1, 2 and 3."""
