"""Metrics, meters, the ensemble over views and the files that report a test."""
