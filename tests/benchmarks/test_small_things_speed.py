"""What should never be felt: importing the package, building a random frame (``-m slow -s`` shows the figures)."""

import resource
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


def processor_seconds(*arguments):
    """Return the least processor time of three fresh processes: what others do at the same time counts little."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def test_import_and_help_are_not_waited_for():
    nothing = processor_seconds("-c", "pass")
    imported, asked = processor_seconds("-c", "import sdqviz"), processor_seconds("-m", "sdqviz.cli.main", "--help")
    print(f"\npython: {nothing:.2f} s, import sdqviz: {imported:.2f} s (aim 0.3), --help: {asked:.2f} s (aim 0.5)")
    assert imported <= 0.3 and asked <= 0.5


FIRST = """
import time, torch
begun = time.process_time()  # what went before is python and torch
import sdqviz as sq
sq.compress(sq.NETWORKS["mnist-fnn"](seed=0).load(), sq.METHODS["frame"](size=1000, bits=1), 64)
print(begun, time.process_time() - begun)
"""


def test_a_first_compression_once_kernels_are_cached():
    """Two seconds where torch is there after one and a half: a machine that is slow at one is slow at the other."""
    found = []
    for _ in range(4):  # the first compiles what is not there yet
        done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True)
        found.append([float(word) for word in done.stdout.split()])
    torch, first = (min(times) for times in zip(*found[1:], strict=True))
    print(
        f"\nfirst compression of a process, after import torch: {first:.2f} s of processor time (aim 2), "
        f"{first / torch:.2f} of what python and torch took"
    )
    assert first <= 1.4 * torch


def test_building_a_random_frame():
    family = sq.FRAMES["random"]
    family(dimension=8, size=24).build()
    begun = time.perf_counter()
    frame = family(dimension=64, size=200).build(seed=1)
    print(f"\n200 random vectors of 64 entries made tight: {time.perf_counter() - begun:.2f} s (aim 1)")
    assert frame.vectors.shape == (200, 64)
