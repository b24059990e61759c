"""Noise-shaping filters: one a file, each a choice that gives the taps of any order."""

from sdqviz.registry import Registry
from sdqviz.sigma_delta.filters.filter import FilterChoice

FILTERS: Registry[FilterChoice] = Registry("sdqviz.sigma_delta.filters", "filter")
