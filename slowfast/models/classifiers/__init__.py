"""Constant rows of a classifier: drawn, or read from a file that ``make_classifier`` wrote."""

from slowfast.models.classifiers.file import ClassifierFile, read_classifier, write_classifier
from slowfast.models.classifiers.rows import fit_width, orthogonal_rows, random_rows

__all__ = [
    "ClassifierFile",
    "fit_width",
    "orthogonal_rows",
    "random_rows",
    "read_classifier",
    "write_classifier",
]
