"""What should never be felt: importing the package, building a random frame (``-m slow -s`` shows the figures)."""

import subprocess
import sys
import time

import pytest

import sdqviz as sq

pytestmark = pytest.mark.slow


def seconds_to_import(module):
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    return min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    )


def test_importing_costs_less_than_numpy_alone():
    ours, numpys = seconds_to_import("sdqviz"), seconds_to_import("numpy")
    print(f"\nimport sdqviz: {1000 * ours:.0f} ms, import numpy: {1000 * numpys:.0f} ms")
    assert ours <= numpys


def test_building_a_random_frame():
    family = sq.FRAMES["random"]
    family(dimension=8, size=24).build()
    begun = time.perf_counter()
    frame = family(dimension=64, size=200).build(seed=1)
    print(f"\n200 random vectors of 64 entries made tight: {time.perf_counter() - begun:.2f} s (aim 1)")
    assert frame.vectors.shape == (200, 64)
