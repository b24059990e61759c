"""Reversed bits and random orders."""

import numpy as np
import pytest

from sdqviz.frames import FRAMES
from sdqviz.frames.permutations.random import RandomOrder
from sdqviz.frames.permutations.reversed_bits import ReversedBits


@pytest.mark.parametrize("size", [3, 4, 7, 8, 64, 100, 1000])
def test_indices_are_sorted_by_their_digits_backwards(size):
    frame = FRAMES["roots-of-unity"](size=size).build()
    width = len(f"{size - 1:b}")
    expected = sorted(range(size), key=lambda n: f"{n:0{width}b}"[::-1])
    assert ReversedBits().order(frame).tolist() == expected


def test_reversed_bits_twice_is_the_identity_for_a_power_of_two():
    order = ReversedBits().order(FRAMES["roots-of-unity"](size=256).build())
    assert np.array_equal(order[order], np.arange(256))


def test_random_order_of_a_zero_sum_frame_costs_about_root_two_a_step():
    frame = FRAMES["harmonic"](dimension=64, size=500).build()
    lengths = [frame.variation(RandomOrder().order(frame, seed)) / 500 for seed in range(5)]
    assert np.mean(lengths) == pytest.approx(np.sqrt(2), rel=0.02)
