"""The paper's theorems on exact problems, and two Gaussians with a linear oracle."""
