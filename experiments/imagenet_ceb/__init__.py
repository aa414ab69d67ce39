"""Train ResNets on ImageNet through the conditional entropy bottleneck, and attack them."""
