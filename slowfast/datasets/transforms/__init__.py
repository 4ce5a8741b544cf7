"""From uint8 frames to the tensor that an encoder takes: one file a family, its pieces beside."""
