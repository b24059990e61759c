"""Uniform random numbers as a function of (seed, layer, neuron, weight), so that no order of work can change them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


GOLDEN = 0x9E3779B97F4A7C15
"""Increment of SplitMix64: 2⁶⁴ over the golden ratio, made odd."""

FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Multipliers of SplitMix64's finaliser."""


@functools.lru_cache(4096)
def layer_key(seed: int, name: str) -> int:
    """Return the 64-bit key of a layer.

    Parameters
    ----------
    seed : int
        Seed of the run.
    name : str
        Name of the layer.

    Examples
    --------
    >>> layer_key(0, "fc1") != layer_key(0, "fc2"), layer_key(0, "fc1") == layer_key(0, "fc1")
    (True, True)
    """
    return int.from_bytes(hashlib.blake2b(f"{seed}|{name}".encode(), digest_size=8).digest(), "little")


def neuron_keys(key: int, count: int) -> Array:
    """Return the key of each neuron of a layer, shape (count,) uint64."""
    return all_neuron_keys([key], count)


def all_neuron_keys(keys: Sequence[int], count: int) -> Array:
    """Return the key of each neuron of each layer, layer after layer, shape (layers·count,) uint64."""
    places = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    return _mixed((np.array(keys, np.uint64)[:, None] + places).ravel())


def uniforms(keys: Array, weights: ArrayLike) -> Array:
    """Return numbers uniform on [0, 1), one for each neuron and weight.

    Parameters
    ----------
    keys : ndarray of uint64
        Keys of the neurons; broadcast against ``weights``.
    weights : array_like of int
        Positions of the weights in their neuron.

    Returns
    -------
    ndarray of float64
        Multiples of 2⁻⁵³.

    Notes
    -----
    Steele, Lea & Flood, *Fast splittable pseudorandom number generators* (2014): the finaliser of
    SplitMix64, applied to the neuron's key plus a multiple of the increment.

    Examples
    --------
    >>> uniforms(neuron_keys(layer_key(0, "fc1"), 2)[:, None], np.arange(3)).shape
    (2, 3)
    """
    counter = np.atleast_1d(np.asarray(weights).astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)
    return (_mixed(np.atleast_1d(keys) + counter) >> np.uint64(11)) * 2.0**-53


def _mixed(values: Array) -> Array:
    z = (values ^ (values >> np.uint64(30))) * np.uint64(FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND)
    return z ^ (z >> np.uint64(31))
