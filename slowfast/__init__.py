"""Open-vocabulary video classification with CLIP: OST and its sister systems on PySlowFast's conventions."""

__version__ = "0.1.0"
