"""Which frames make a clip: rules from counts to integer indices, without any video."""
