"""Bottleneck heads on a frozen text encoder, attacked with DeepWordBug and PWWS."""
