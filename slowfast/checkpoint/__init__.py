"""Checkpoints: our own and PySlowFast's, weights of other systems, and averages of weights."""
