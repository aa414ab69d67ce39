"""Measure the speed of training, of populations, of attacks, of augmentation and of many devices."""
