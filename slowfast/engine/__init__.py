"""Loops: training, validation, test, and how they are launched."""
