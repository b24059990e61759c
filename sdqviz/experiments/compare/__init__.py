"""Finished runs side by side: their figures, filters and brush, the front, and the printed figures of papers."""
