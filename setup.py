"""Names the packages of the wheel; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

# pyproject.toml can find packages or list them, not both; the last two are folders of data.
found = find_packages(include=["slowfast*", "ost*"])
setup(packages=[*found, "slowfast.configs", "slowfast.label_db"])
