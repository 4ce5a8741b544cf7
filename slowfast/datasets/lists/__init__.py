"""List files: the lines, the videos that they name, and the files that hold them."""
