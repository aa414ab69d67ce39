"""Train a bottleneck classifier, attack it and draw it."""
