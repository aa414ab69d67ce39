"""Compare DeepWordBug and PWWS with TextAttack's, and with a naive search, on the same texts and the same model."""
