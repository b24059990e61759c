"""The plots of the Frames page."""
