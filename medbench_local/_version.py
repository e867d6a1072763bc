"""The version of the package; nothing else, so that everything may ask."""

__version__ = "0.2.0"
