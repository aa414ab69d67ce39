"""Attack one of two classifiers on the same stochastic encoder, and see how well that works on the other: Figure 3."""
