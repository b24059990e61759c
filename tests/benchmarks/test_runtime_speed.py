"""Inference in the frame's domain beside torch in float32 and 8 bits and a plain loop over bytes; one thread each."""

import time

import numba
import numpy as np
import pytest
import torch

from sdqviz.compression.speed import eight_bits
from sdqviz.kernels.popcount import int8_product, round_inputs
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.path_following.row_product import FrameRows, RowProduct

REPEATS = 15


def smallest(work):
    """Return the smallest of some times, in microseconds; the first call compiles."""
    work()
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return 1e6 * min(times)


@pytest.fixture(autouse=True)
def one_thread():
    numba_threads, torch_threads = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    yield
    numba.set_num_threads(numba_threads)
    torch.set_num_threads(torch_threads)


@pytest.mark.slow
@pytest.mark.parametrize("size", [512, 1024, 2048, 4096])
@pytest.mark.parametrize("batch", [1, 16])
def test_runtime_against_float32_and_int8(size, batch, record_property):
    rng, frame = np.random.default_rng(0), RowFrame(size, 1.0)
    levels = rng.integers(0, 2, (size, frame.size)).astype(np.uint8)
    rows = FrameRows(frame, np.ones(size, bool), levels, np.ones(size), 1)
    product, counted = RowProduct(rows, "shuffle"), RowProduct(rows, "popcount")
    inputs = rng.standard_normal((batch, size))

    dense = torch.from_numpy(rng.standard_normal((size, size))).float()
    floats = torch.from_numpy(inputs).float()
    bytes_dense = rng.integers(-127, 128, (size, size)).astype(np.int8)
    rounded, scale, total = np.empty((batch, size), np.uint8), np.empty(batch), np.empty(batch, np.int64)
    out, step = np.empty((batch, size)), np.ones(size, np.float32)

    def plain_bytes():
        round_inputs(inputs, rounded, scale, total)
        int8_product(bytes_dense, (rounded ^ np.uint8(128)).view(np.int8), total, step, scale, out)

    coordinates = product.transformed(inputs)
    found, scales, totals = product.rounded(coordinates)
    tables, planes = product.prepared(found), counted.prepared(found)
    with torch.no_grad():
        times = {
            "torch float32": smallest(lambda: floats @ dense.T),
            "torch int8": smallest(eight_bits(dense, floats)),
            "plain int8 loop": smallest(plain_bytes),
            "frame, whole": smallest(lambda: product(inputs)),
            "  transform": smallest(lambda: product.transformed(inputs)),
            "  rounding and tables": smallest(lambda: product.prepared(product.rounded(coordinates)[0])),
            "  shuffle": smallest(lambda: product.multiplied(tables, scales, totals)),
            "frame, by popcount": smallest(lambda: counted(inputs)),
            "  popcount": smallest(lambda: counted.multiplied(planes, scales, totals)),
        }
    print(f"\n{size} x {size}, batch {batch}, 1 bit, one thread; bytes {product.byte_count} of {4 * size * size}")
    for name, value in times.items():
        print(f"  {name:22} {value:9.0f} us   {times['torch float32'] / value:6.2f} x float32")
        record_property(name.strip(), round(value))
    assert product.byte_count <= 4 * size * size / 20
    np.testing.assert_array_equal(product(inputs), counted(inputs))
    error = np.abs(product(inputs) - inputs @ product_dense(levels, frame).T)
    assert (error <= product.rounding_bound(inputs) + 1e-9).all()


def product_dense(levels, frame):
    return FrameRows(frame, np.ones(levels.shape[1], bool), levels, np.ones(len(levels)), 1).dense()
