"""The plots of the GETA page."""
