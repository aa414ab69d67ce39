"""Table 1 of the VIB paper: VIB and four baselines on MNIST, each at the strength that is best on held-out images."""
