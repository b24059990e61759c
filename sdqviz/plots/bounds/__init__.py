"""The plots of the Bounds page."""
