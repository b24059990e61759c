"""The plots of the Path following page."""
