"""How fast ΣΔ over a frame is, as ratios measured side by side in one run (run with ``-m slow -s`` to see the figures).

Each duration is the smallest of several interleaved repeats: noise on a shared machine only adds time.
"""

import time
from collections.abc import Callable

import numpy as np
import pytest
from scipy import fft

import sdqviz as sq
from sdqviz.kernels.threads import threading_layer, threads
from sdqviz.sigma_delta.recursion import walk_rows

pytestmark = pytest.mark.slow

DIMENSION, COLUMNS = 784, 512


def smallest_times(
    tasks: dict[str, Callable[[], object]],
    repeats: int,
    good: Callable[[dict[str, float]], bool] = lambda seconds: True,
    patience: float = 20.0,
) -> dict[str, float]:
    """Return the smallest duration of each task in seconds, the tasks taking turns after one warm-up.

    On a machine that others use at the same time a few repeats may all be disturbed: while the figures
    are not ``good`` there are further rounds, until ``patience`` seconds have passed.
    """
    for task in tasks.values():
        task()
    found = dict.fromkeys(tasks, float("inf"))
    begun = time.perf_counter()
    while True:
        for _ in range(repeats):
            for name, task in tasks.items():
                start = time.perf_counter()
                task()
                found[name] = min(found[name], time.perf_counter() - start)
        if good(found) or time.perf_counter() - begun > patience:
            return found


def numpy_walk(coefficients, step):
    """Loop over N in numpy, all rows at once: the same levels and overload counts from the same (M, N) array."""
    by_step = np.ascontiguousarray(coefficients.T)  # else every step would gather one number from each row
    u, overload = np.zeros(len(step)), np.zeros(len(step), np.int64)
    for row in by_step:
        v = u + row
        q = (np.clip(np.floor(v / step), -1, 0) + 0.5) * step
        u = v - q
        overload += np.abs(v) > step
        row[:] = q
    return np.ascontiguousarray(by_step.T), overload


@pytest.mark.parametrize("size", [1568, 7000])
def test_sigma_delta_against_a_numpy_loop_dense_matrices_and_its_own_transforms(size, benchmark):
    frame = sq.FRAMES["harmonic"](dimension=DIMENSION, size=size).build()
    weights = np.random.default_rng(0).standard_normal((COLUMNS, DIMENSION)) / np.sqrt(DIMENSION)
    coefficients = frame.analyze(weights)
    step = np.full(COLUMNS, 2 * np.abs(coefficients).max())
    out, levels = np.empty_like(coefficients), np.empty(coefficients.shape, np.uint8)
    vectors, scale = np.array(frame.vectors), DIMENSION / size
    spectrum = fft.rfft(coefficients, axis=1)[:, : DIMENSION // 2 + 1].copy()  # the frequencies that are not zero

    def ours():
        values = frame.analyze(weights)
        walk_rows(values, 1, step, out=values)
        return frame.synthesize(values)

    def dense():
        return scale * (numpy_walk(weights @ vectors.T, step)[0] @ vectors)

    def bare():
        values = fft.irfft(spectrum, n=size, axis=1, workers=threads())
        return fft.rfft(values, axis=1, workers=threads())

    np.testing.assert_allclose(ours(), dense(), atol=1e-9)
    expected, counts = numpy_walk(coefficients, step)
    np.testing.assert_array_equal(walk_rows(coefficients, 1, step, out=out), counts)
    np.testing.assert_array_equal(out, expected)

    def ratios(seconds):
        whole = seconds["analysis + recursion + synthesis"]
        return {
            "recursion to levels, times faster than the loop (goal 30)": (
                seconds["numpy loop over N"] / seconds["recursion to levels"]
            ),
            "recursion to numbers, times faster than the loop": seconds["numpy loop over N"] / seconds["recursion"],
            "whole, times faster than dense (goal 4)": seconds["the same, dense"] / whole,
            "whole, over its two transforms (goal 1.3)": whole / seconds["its two transforms alone"],
            "whole, over the bare FFTs in them": whole / seconds["the bare FFTs in them"],
        }

    def good(seconds):
        recursion, _, against_dense, over_transforms, _ = ratios(seconds).values()
        return recursion >= 30 and against_dense >= 4 and over_transforms <= 1.3

    seconds = smallest_times(
        {
            "recursion": lambda: walk_rows(coefficients, 1, step, out=out),
            "recursion to levels": lambda: walk_rows(coefficients, 1, step, index=levels),
            "numpy loop over N": lambda: numpy_walk(coefficients, step),
            "analysis": lambda: frame.analyze(weights),
            "synthesis": lambda: frame.synthesize(out),
            "analysis + recursion + synthesis": ours,
            "the same, dense": dense,
            "its two transforms alone": lambda: frame.synthesize(frame.analyze(weights)),
            "the bare FFTs in them": bare,
        },
        repeats=10,
        good=good,
    )
    print(f"\nd={DIMENSION}, {COLUMNS} columns, N={size}, {threads()} threads, {threading_layer()}")
    for name, value in seconds.items():
        print(f"  {name:34} {1000 * value:8.2f} ms")
    for name, value in ratios(seconds).items():
        print(f"  {name:48} {value:6.2f}")
    recursion, _, against_dense, over_transforms, _ = ratios(seconds).values()
    # the margins below the goals are for a machine that is never quiet
    assert recursion >= 20
    assert against_dense >= 3
    assert over_transforms <= 1.6
    benchmark(ours)


def test_compressing_and_testing_a_network_follows_n_log_n(benchmark):
    network = sq.NETWORKS["mnist-fnn"](seed=0).load()
    network.accuracy()

    def run(size):
        method = sq.METHODS["frame"](size=size, bits=1, step_rule="range-layer")
        return lambda: sq.compress(network, method, calibration=0).report.accuracy_after

    sizes = (512, 1024, 2048, 4096, 8192)
    seconds = smallest_times({str(size): run(size) for size in sizes}, repeats=3)
    with_errors = smallest_times(
        {"512": lambda: sq.compress(network, sq.METHODS["frame"](size=512, bits=1, step_rule="range-layer"))}, repeats=3
    )["512"]
    times = np.array([seconds[str(size)] for size in sizes])
    work = np.array([size * np.log2(size) for size in sizes])
    slope = (times[-1] - times[0]) / (work[-1] - work[0])
    print(
        f"\ncompress and test mnist-fnn at N=512: {times[0]:.2f} s, with the errors of 512 inputs {with_errors:.2f} s"
    )
    for size, value in zip(sizes, times, strict=True):
        print(f"  N={size:5}: {value:.3f} s")
    growth = (times[-1] - times[0]) / (times[1] - times[0]) if times[1] > times[0] else float("nan")
    print(f"  growth 512→8192 over 512→1024: {growth:.1f} (N log N: {(work[-1] - work[0]) / (work[1] - work[0]):.1f})")
    assert times[0] <= 2.0  # the goal is 1 s on an idle machine
    # beyond the fixed cost of testing, time per N·log N must not grow with N (it would by 16 if it were N²)
    middle = times[0] + slope * (work - work[0])
    assert times[2] <= 2 * middle[2] + 0.2
    assert times[-1] <= times[0] + 2.5 * (times[-2] - times[0]) * (work[-1] - work[0]) / (work[-2] - work[0]) + 0.2
    benchmark.pedantic(run(512), rounds=1)
