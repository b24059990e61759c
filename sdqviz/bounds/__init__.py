"""Bounds: every proved statement as a value, its hypotheses and its source."""
