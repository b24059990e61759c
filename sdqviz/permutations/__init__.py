"""Permutations: the orders in which ΣΔ may walk through a frame, one a file."""

from sdqviz.permutation import PermutationChoice
from sdqviz.registry import Registry

PERMUTATIONS: Registry[PermutationChoice] = Registry("sdqviz.permutations", "permutation")
