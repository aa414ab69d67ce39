"""Train Wide ResNets through the conditional entropy bottleneck, attack and corrupt them, and draw Figures 1 and 2."""
