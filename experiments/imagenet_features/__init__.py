"""Bottleneck heads on a frozen network, attacked through the network to the pixels."""
