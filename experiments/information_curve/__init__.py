"""The information curve: one bottleneck network at many strengths and seeds, trained and attacked as one program."""
