"""Mathematics as pure functions: tensors in, tensors out, no options and no state."""
