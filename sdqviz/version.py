"""The version of the engine; it travels in links, recipes and stored results."""

__version__ = "0.3.0"
