"""CLIP's towers (open_clip's own modules) and how they are fed."""
