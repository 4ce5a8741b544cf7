"""Video data: lists, frame sampling, decoding, transforms, data sets and loaders."""
