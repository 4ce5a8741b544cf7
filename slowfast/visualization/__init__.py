"""Pictures of what a model did."""
