"""Duals: how levels become a vector again; one a file, each a choice built for a frame, its walk and a filter."""

from sdqviz.registry import Registry
from sdqviz.sigma_delta.duals.dual import DualChoice

DUALS: Registry[DualChoice] = Registry("sdqviz.sigma_delta.duals", "dual")
