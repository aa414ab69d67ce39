"""What the experiments share; it knows none of them."""
