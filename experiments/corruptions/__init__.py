"""Evaluate trained models on common corruptions, and on ImageNet-A and under attack, and draw Figure 3's panels."""
