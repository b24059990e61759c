"""Compiles every kernel, or loads it from numba's cache, before somebody waits for it."""

from __future__ import annotations

import numpy as np

from sdqviz.kernels.beam import beam_block, follow
from sdqviz.kernels.first_order import copy_measured, first_order
from sdqviz.kernels.follow_path import follow_path
from sdqviz.kernels.popcount import input_planes, int8_product, popcount_product, round_inputs
from sdqviz.kernels.rounding import rounding_errors
from sdqviz.kernels.shorten import shorten_walk
from sdqviz.kernels.shuffle import available, shuffle_product, sum_tables
from sdqviz.kernels.sigma_delta import noise_shaping
from sdqviz.kernels.threads import run, threading_layer
from sdqviz.kernels.tour import extend_walk, nearest_lists
from sdqviz.kernels.turn import turned
from sdqviz.kernels.walsh_hadamard import walsh_hadamard


def warm_up() -> None:
    """Compile, or load from numba's cache, every kernel; costs seconds once per machine."""
    threading_layer()
    tiny = np.zeros((1, 2))
    order = np.arange(2, dtype=np.uint32)
    counts = np.zeros(1, np.int64)
    for levels in (np.zeros((1, 2), np.uint8), np.zeros((1, 2), np.uint16)):
        run(
            first_order, tiny, order, True, np.ones(1), 1, 0.0, tiny.copy(), True, levels, True, tiny.copy(), True,
            counts, counts.copy(),
        )  # fmt: skip
    run(copy_measured, tiny.view(np.int64), tiny.copy().view(np.int64), np.zeros(1, np.int64))
    run(
        noise_shaping, tiny, order, np.ones(1), 1, np.ones(1, np.int64), np.ones(1), 0.0, tiny.copy(), tiny.copy(),
        True, counts, counts.copy(),
    )  # fmt: skip
    run(walsh_hadamard, np.zeros((1, 2)), 0, 1)
    run(rounding_errors, tiny, tiny, np.ones((1, 1)), 0.5, -np.ones(1), np.zeros(1), np.empty((1, 1)))
    points, walk, nearest = np.eye(2), np.arange(2), np.zeros((2, 1), np.int32)
    one, two = np.ones(1), np.zeros((2, 1))
    run(
        follow_path, two, two, two, np.zeros((2, 2)), np.ones(2), np.ones(2, np.bool_), np.arange(2), 0,
        np.zeros(1, np.uint64), 0, one, 1, 2, one[None], 0.5, -one[None], 0 * one[None], np.ones(2), False, 0,
        two.copy(), two.copy(), np.zeros(1, np.int64), np.zeros(1),
    )  # fmt: skip
    run(
        beam_block, two, np.zeros((2, 1, 1)), np.zeros((2, 2)), np.ones(2), 0, 1, one, np.ones(1, np.int64),
        np.zeros((1, 1)), np.zeros((2, 1, 1)), np.zeros((1, 1), np.int64),
    )  # fmt: skip
    run(follow, np.zeros((2, 1, 1)), np.zeros((1, 1), np.int64))
    extend_walk(points, walk, 1, 2)
    run(nearest_lists, np.eye(2), np.ones(2), 0, nearest)
    shorten_walk(points, nearest, walk, np.argsort(walk), np.arange(2), np.ones(2, np.bool_), np.array([0, 2]), 1)
    fixed = np.zeros((2, 2))  # as weights are, that nobody may write to
    fixed.setflags(write=False)
    for matrix in (fixed, np.zeros((2, 2)), np.zeros((2, 2), np.float32), np.zeros((2, 2), np.uint8)):
        turned(matrix)
    _products()


def _products() -> None:
    """Do the same for what multiplies without leaving the frame."""
    single, scale, total, out = np.ones(1, np.float32), np.ones(1), np.zeros(1, np.int64), np.zeros((1, 1))
    found, sums = np.zeros((1, 64), np.uint8), np.zeros(1, np.int32)
    round_inputs(np.zeros((1, 2)), found, scale, total)
    run(int8_product, found.view(np.int8), found.view(np.int8), total, single, scale, out)
    planes = np.zeros((1, 8, 1), np.uint64)
    input_planes(found.view(np.uint64), planes)
    run(popcount_product, planes[:, :1].copy(), planes, total, sums, single, scale, 1, out)
    if available():
        tables = np.zeros((1, 8, 2, 2, 16), np.uint8)
        sum_tables(found, tables)
        run(shuffle_product, np.zeros((1, 1, 8, 32), np.uint8), tables, total, sums, single, scale, 1, out)
