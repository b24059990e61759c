"""Compiled kernels, the one way to run them, and random numbers that no order of work changes."""
