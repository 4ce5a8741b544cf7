"""Command-line tools; each is a short file over the package."""
