"""Carlini-Wagner against stochastic models: what the samples of each gradient do, and what the rule of stopping."""
