"""The Bounds page: its link, and what is said of a curve."""
