"""Loops: training, validation, test, prediction, and what they are made of."""
