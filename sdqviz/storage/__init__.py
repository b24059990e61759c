"""Numbers as bits, counted."""
