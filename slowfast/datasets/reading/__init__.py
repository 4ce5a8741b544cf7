"""From a file to frames: packets, time stamps, key frames, decoders."""
