"""The version of the engine; it travels in links, recipes and stored results."""

__version__ = "0.2.0"
