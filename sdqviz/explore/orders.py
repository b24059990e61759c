"""Which order of ΣΔ at which bits and redundancy: one vector, every choice, rounding and β-expansions beside."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.frames.signs import random_signs
from sdqviz.frames.walk import walked
from sdqviz.sigma_delta.beta import BetaExpansion
from sdqviz.sigma_delta.duals import DUALS
from sdqviz.sigma_delta.filters.filter import HIGHEST_ORDER
from sdqviz.sigma_delta.recursion import shape_rows
from sdqviz.sigma_delta.taps import difference

BITS = (1, 2, 3, 4, 5, 6)
RATIOS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
ENTRIES, DRAWS, MOST_DIGITS = 64, 8, 24
"""Entries that are looked at, signs that are averaged over, and the most bits an entry of what stands beside."""


@dataclasses.dataclass(frozen=True, eq=False)
class Orders:
    """Mean relative errors over random signs.

    Attributes
    ----------
    ratios : ndarray, shape (R,)
        N/d.
    errors : ndarray, shape (orders, bits, R)
        Of the greedy filter with its Sobolev dual and the step that just keeps it stable; NaN where no step does.
    plain, beta : ndarray, shape (MOST_DIGITS,)
        Rounding of the entries themselves, and β-expansions, with 1, 2, … bits an entry.
    """

    ratios: Array
    errors: Array
    plain: Array
    beta: Array

    @property
    def bits(self) -> Array:
        """Bits an entry, levels alone, shape (bits, R)."""
        return np.array(BITS)[:, None] * self.ratios

    @property
    def best(self) -> Array:
        """The order of least error, shape (bits, R)."""
        return np.asarray(np.nanargmin(self.errors, axis=0))


def orders(vector: Array) -> Orders:
    """Quantize a vector, of a long one the first `ENTRIES`, with every order, bit depth and N that is stable."""
    return _orders(np.asarray(vector[:ENTRIES], float).tobytes())


@functools.lru_cache(maxsize=16)
def _orders(content: bytes) -> Orders:
    vector = np.frombuffer(content)
    norm, d = float(np.linalg.norm(vector)), len(vector)
    ratios = np.array(RATIOS)
    family = FRAMES["half-frequency" if d % 2 == 0 else "harmonic"]
    signed = vector / (norm or 1.0) * np.stack([random_signs(d, seed) for seed in range(DRAWS)])
    errors = np.full((HIGHEST_ORDER + 1, len(BITS), len(ratios)), np.nan)
    for place, ratio in enumerate(ratios):
        choice = family(dimension=d, size=family.admissible_size(d, math.ceil(ratio * d)))
        frame = walked(choice, PERMUTATIONS["identity"](), 0).frame
        coefficients = frame.analyze(signed)
        largest = np.abs(coefficients).max(axis=1)
        for order in range(HIGHEST_ORDER + 1):
            taps = difference(order)
            try:
                dual = DUALS["sobolev"]().build(frame, taps)
            except InputError:
                continue  # too badly conditioned
            for row, bits in enumerate(BITS):
                if taps.reach(bits) > 0:
                    levels = np.empty_like(coefficients)
                    shape_rows(coefficients, bits, largest / taps.reach(bits), taps, out=levels)
                    errors[order, row, place] = np.linalg.norm(signed - dual.synthesize(levels), axis=1).mean()
    digits, top = range(1, MOST_DIGITS + 1), float(np.abs(signed[0]).max())
    plain = [np.linalg.norm(signed[0] - _rounded(signed[0], top, bits)) for bits in digits]
    beta = [np.linalg.norm(signed[0] - BetaExpansion(digits=bits).run(signed[0])) for bits in digits]
    return Orders(ratios, errors, np.array(plain), np.array(beta))


def _rounded(values: Array, largest: float, bits: int) -> Array:
    half = 2.0 ** (bits - 1)
    step = largest / half or 1.0
    return np.asarray((np.clip(np.floor(values / step), -half, half - 1) + 0.5) * step)
