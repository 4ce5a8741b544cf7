"""Open-vocabulary video classification with CLIP: OST and its sister systems."""

__version__ = "0.1.0"
