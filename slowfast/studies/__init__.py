"""Things made of whole runs: demo, matrix, protocols, ready-made classifiers, explanations."""
