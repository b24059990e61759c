"""Permutations: the orders in which ΣΔ may walk through a frame, one a file."""

from sdqviz.frames.permutations.permutation import PermutationChoice
from sdqviz.registry import Registry

PERMUTATIONS: Registry[PermutationChoice] = Registry("sdqviz.frames.permutations", "permutation")
