"""Compare every attack with the same one in torchattacks, foolbox and pyautoattack, on the same weights."""
