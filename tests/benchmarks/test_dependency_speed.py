"""How long the dependency graph of a large network takes, on two threads (``-m slow -s`` shows the figures)."""

import time

import pytest
import torch

from sdqviz.pruning import removal
from sdqviz.pruning.dependency import groups

pytestmark = pytest.mark.slow

GOAL = 10.0
"""Seconds that the graph of resnet50 may take for an image of full size, its trial included."""


def test_graph_of_resnet50(record_property):
    models = pytest.importorskip("torchvision.models")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        module = models.resnet50(weights=None).eval()
        example = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        begun = time.perf_counter()
        found = groups(module, example)
        built = time.perf_counter() - begun
        half = {place: range(0, found.groups[place].units, 2) for place in found.require_prunable()}
        begun = time.perf_counter()
        smaller = removal.remove(module, found.recipe(half))
        removed = time.perf_counter() - begun
    finally:
        torch.set_num_threads(threads)
    record_property("graph_seconds", built)
    left = sum(p.numel() for p in smaller.parameters()) / sum(p.numel() for p in module.parameters())
    print(f"\nresnet50: graph {built:.2f} s (goal {GOAL:.0f} s), half of each group removed in {removed:.2f} s")
    print(f"          {len(found.groups)} groups, {len(found.vertices)} vertices; {left:.1%} of the parameters left")
    assert built <= GOAL
