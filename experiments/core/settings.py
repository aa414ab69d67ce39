"""The objectives by their kind, and ways to read the training data."""

RATE_OBJECTIVES = ("vib", "vub")
RESIDUAL_OBJECTIVES = ("ceb", "consistent_ceb")
BOTTLENECKS = RATE_OBJECTIVES + RESIDUAL_OBJECTIVES
RESIDENT, GRAIN = "resident", "grain"
