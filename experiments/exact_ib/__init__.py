"""Train VIB, VUB and CEB where the information bottleneck is known, and compare with the exact curve."""
