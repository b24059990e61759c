"""One number of a page dragged through: the engine's own results at some dozens of values, computed at once."""
