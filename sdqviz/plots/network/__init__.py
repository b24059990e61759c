"""The plots of the Network page."""
