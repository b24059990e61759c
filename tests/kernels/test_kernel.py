"""The compiled walk against a plain Python loop, bit for bit, and against concurrent callers."""

import math
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdqviz.kernels.first_order import STEPS
from sdqviz.kernels.threads import run, set_threads, threads
from sdqviz.kernels.vectors import LANES
from sdqviz.kernels.walsh_hadamard import walsh_hadamard
from sdqviz.sigma_delta.recursion import walk_rows


def plain_walk(rows, bits, steps, order):
    """Walk each row in plain Python floats: the definition, with the state as one scalar."""
    half = 2 ** (bits - 1)
    quantized, state = np.zeros_like(rows), np.zeros_like(rows)
    overload = np.zeros(len(rows), np.int64)
    for m, row in enumerate(rows):
        step = float(steps[m])
        u = 0.0
        for n in order:
            v = u + float(row[n])
            index = math.floor(v / step) if step > 0 else math.floor(v)
            q = (min(max(index, -half), half - 1) + 0.5) * step
            u = v - q
            quantized[m, n], state[m, n] = q, u
            overload[m] += abs(v) > half * step
    return quantized, state, overload


def assert_same_walk(rows, bits, steps, order):
    quantized, state = np.empty_like(rows), np.empty_like(rows)
    walk = None if np.array_equal(order, np.arange(len(order))) else order
    overload = walk_rows(rows, bits, steps, order=walk, out=quantized, state=state)
    expected = plain_walk(rows, bits, steps, order)
    for actual, wanted in zip((quantized, state, overload), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)  # every bit, not approximately
        assert not np.any(np.signbit(actual) != np.signbit(wanted))
    index = np.empty(rows.shape, np.uint8)
    np.testing.assert_array_equal(walk_rows(rows, bits, steps, order=walk, index=index), overload)
    np.testing.assert_array_equal((index - 2.0 ** (bits - 1) + 0.5) * steps[:, None], expected[0])
    return overload


@settings(max_examples=120)
@given(
    rows=st.integers(1, 2 * LANES + LANES // 2),
    length=st.integers(1, 70) | st.integers(STEPS - 3, STEPS + 9) | st.just(2 * STEPS + 1),
    bits=st.integers(1, 4),
    scale=st.sampled_from([0.05, 0.5, 3.0]),
    permuted=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_shape_step_and_order_equals_the_plain_loop(rows, length, bits, scale, permuted, seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rows, length)) * scale
    steps = rng.uniform(0.01, 2.0, rows)
    silent = rng.random(rows) < 0.2
    values[silent], steps[silent] = 0.0, 0.0
    order = rng.permutation(length) if permuted else np.arange(length)
    assert_same_walk(values, bits, steps, order)


@settings(max_examples=40)
@given(
    bits=st.sampled_from([1, 2, 4, 8]),
    size=st.sampled_from([1.1, 2.0**31, 2.0**51, 2.0**52, 1e30, 1e250]),
    share=st.sampled_from([0.001, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_far_outside_the_range_equals_the_plain_loop(bits, size, share, seed):
    # where the whole number beside a large one does not fit into its last bits
    rng = np.random.default_rng(seed)
    steps = rng.uniform(0.5, 2.0, LANES + 8)
    values = rng.uniform(-1, 1, (len(steps), 2 * STEPS + 2)) * steps[:, None] * 2.0 ** (bits - 2)
    values[rng.random(values.shape) < share] *= size
    assert_same_walk(values, bits, steps, np.arange(values.shape[1]))


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_ties_go_the_same_way(bits):
    # multiples of δ/2 put the quantizer's input on a tie or on a level at every step
    values = np.random.default_rng(bits).integers(-3, 4, (LANES + 5, STEPS + 9)) * 0.25
    assert_same_walk(values, bits, np.full(len(values), 0.5), np.arange(values.shape[1]))


def test_ties_of_rounded_multiples_go_the_same_way():
    # 3·0.1/0.1 rounds below 3 while 3·0.1·(1/0.1) does not: dividing otherwise would show here
    multiple, step = np.meshgrid(np.arange(-7.0, 8.0), np.arange(1, 60) * 0.1)
    values = np.stack([multiple.ravel() * step.ravel(), -0.3 * step.ravel(), 0.7 * step.ravel()], axis=1)
    assert_same_walk(values, 3, step.ravel(), np.arange(3))


def test_overload_is_counted_step_by_step():
    values = np.array([[0.0, 0.9, 0.9, 0.9], [0.1, -0.1, 0.1, -0.1], [5.0, 0.0, 0.0, 0.0]])
    overload = assert_same_walk(values, 1, np.ones(3), np.arange(4))
    # row 0: u = −.5, then inputs .4, .8, 1.2 (only the last leaves [−1, 1]); row 2: 5, 4.5, 4, 3.5
    np.testing.assert_array_equal(overload, [1, 0, 4])


def test_a_step_of_zero_keeps_a_silent_row_silent():
    values = np.zeros((3, 70))
    quantized, state = np.ones_like(values), np.ones_like(values)
    overload = walk_rows(values, 2, np.zeros(3), out=quantized, state=state)
    assert not quantized.any() and not state.any() and not overload.any()


def test_levels_may_replace_the_coefficients_in_place():
    values = np.random.default_rng(3).standard_normal((37, 201)) * 0.3
    steps = np.full(37, 0.8)
    order = np.random.default_rng(4).permutation(201)
    apart = np.empty_like(values)
    walk_rows(values, 1, steps, order=order, out=apart)
    walk_rows(values, 1, steps, order=order, out=values)
    np.testing.assert_array_equal(values, apart)


def test_the_number_of_threads_changes_nothing():
    values = np.random.default_rng(5).standard_normal((200, 300)) * 0.3
    steps = np.full(200, 0.7)
    before = threads()
    results = []
    try:
        for count in (1, before):
            set_threads(count)
            assert threads() == count
            out = np.empty_like(values)
            walk_rows(values, 1, steps, out=out)
            results.append(out)
    finally:
        set_threads(before)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("length", [1, 2, 8, 64, 512])
def test_walsh_hadamard_is_its_matrix(length):
    from scipy.linalg import hadamard

    values = np.random.default_rng(length).standard_normal((5, length))
    expected = values @ hadamard(length)
    run(walsh_hadamard, values, 0, 5)
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)


def test_walsh_hadamard_touches_only_the_rows_it_is_given():
    values = np.random.default_rng(0).standard_normal((4, 8))
    before = values.copy()
    run(walsh_hadamard, values, 1, 3)
    np.testing.assert_array_equal(values[[0, 3]], before[[0, 3]])
    assert not np.array_equal(values[1:3], before[1:3])


FOUR_CALLERS = """
    import threading
    import numpy as np
    from sdqviz.kernels.threads import set_threads, threading_layer
    from sdqviz.sigma_delta.recursion import walk_rows

    assert threading_layer() == "workqueue", threading_layer()
    set_threads(2)
    values = np.random.default_rng(0).standard_normal((64, 2000)) * 0.3
    expected = np.empty_like(values)
    walk_rows(values, 1, np.full(64, 0.7), out=expected)
    start, wrong = threading.Barrier(4), []

    def call():
        out = np.empty_like(values)
        start.wait()
        for _ in range(200):
            out[:] = 0
            walk_rows(values, 1, np.full(64, 0.7), out=out)
            if not np.array_equal(out, expected):
                wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers: caller.start()
    for caller in callers: caller.join()
    assert not wrong
    print("survived")
"""


def test_four_threads_survive_the_workqueue_layer():
    # without the lock this layer ends the process: "Concurrent access has been detected"
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FOUR_CALLERS)],
        env={**os.environ, "NUMBA_THREADING_LAYER": "workqueue"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "survived"
