"""Which plain roundings cost no more than a run, and which of them errs least."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sdqviz.array import Array
from sdqviz.compression.packing import kept_tensors
from sdqviz.methods.calibrated.glance import layer_rows
from sdqviz.methods.calibrated.scale import AUTO, SCALES, ScaleFit, candidates
from sdqviz.methods.round_to_nearest import RoundToNearest, layer_error
from sdqviz.networks.layer import Layer
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.storage.bits import STEP_BITS

if TYPE_CHECKING:
    from sdqviz.compression.compress import Compression

FITS = ("max", "mse")
"""How the scale of the rounding beside is fitted; the best of each is run."""

LOOKED_AT = 1 << 16
"""Weights of a layer on which roundings are compared, at most: some of its neurons."""


class Cost:
    """What plain rounding of a run's layers costs at most: biases kept, everything counted.

    Parameters
    ----------
    run : Compression
        The run it is to stand beside.

    Notes
    -----
    A code for each weight; where a map of the zeros is shorter, rounding costs less.
    """

    def __init__(self, run: Compression) -> None:
        kept = kept_tensors(run.original, tuple(dataclasses.replace(item, bias=None) for item in run.layers))
        self._shapes = [(len(item.weight), item.weight[0].size) for item in run.layers]
        self._kept = 8 * sum(value.nbytes for value in kept.values())
        self._numbers = sum(math.prod(shape) for shape in self._shapes) + sum(value.size for value in kept.values())

    def bits_per_weight(self, method: RoundToNearest) -> float:
        """Return the bits per original weight of a rounding; zero points are counted where it may take some."""
        asked = ScaleFit(method.scale, "max").block
        zero_points = "affine" in candidates(method.alphabet, method.bits)
        total = self._kept
        for neurons, width in self._shapes:
            block = asked if asked < width else 0
            steps = 1 if method.scale == "per-layer" else neurons * (math.ceil(width / block) if block else 1)
            total += 8 * math.ceil(neurons * width * method.bits / 8) + int(method.step_bits) * steps
            total += 8 * math.ceil(steps * method.bits / 8) * zero_points
            total += 16 if block else 8  # how the codes are read, and the length of a block
        return total / self._numbers

    def within(self, limit: float) -> tuple[RoundToNearest, ...]:
        """Return the roundings that cost no more than a limit and differ: each with the most bits it can have.

        Parameters
        ----------
        limit : float
            Bits per weight that may be spent.

        Returns
        -------
        tuple of RoundToNearest
            For each of `SCALES` and each width of a step: all alphabets together (auto, the best for each layer), or
            those without zero points and the affine one apart where that one has to take fewer bits. Steps of 16 bits
            only where they leave room for more; else they round the same numbers more coarsely.
        """
        found: list[RoundToNearest] = []
        widest = max((width for _, width in self._shapes), default=0)
        for scale in (one for one in SCALES if ScaleFit(one, "max").block < widest):  # else it is a step per neuron
            before: list[tuple[int, str]] = []
            for step_bits in sorted(STEP_BITS, reverse=True):
                most = functools.partial(self._most, limit, scale, str(step_bits))
                plain, affine = most("midrise"), most("affine")
                if plain == affine:
                    names = [(plain, AUTO)] if plain else []
                else:
                    names = [(plain, name) for name in candidates(AUTO, plain) if name != "affine"]
                    names += [(affine, "affine")] if affine else []
                if names != before:
                    found += [
                        RoundToNearest(bits=bits, alphabet=name, scale=scale, step_bits=str(step_bits))
                        for bits, name in names
                    ]
                before = names
        return tuple(found)

    def _most(self, limit: float, scale: str, step_bits: str, alphabet: str) -> int:
        """Return the most bits within a limit; 0 for none."""
        specs = RoundToNearest.specs()["bits"]
        least = 2 if alphabet == "affine" else 1
        for bits in range(min(int(specs.maximum or 1), max(0, math.floor(limit))), least - 1, -1):
            asked = RoundToNearest(bits=bits, alphabet=alphabet, scale=scale, step_bits=step_bits)
            if self.bits_per_weight(asked) <= limit:
                return bits
        return 0


def tried(methods: tuple[RoundToNearest, ...]) -> int:
    """Return how many roundings these stand for: each alphabet of an auto counts, with each of `FITS`."""
    return len(FITS) * sum(len(candidates(method.alphabet, method.bits)) for method in methods)


def comparing_seconds(shapes: Sequence[tuple[int, ...]]) -> float:
    """Return roughly how long `best_of` takes for layers with weights of these shapes."""
    looked = [(min(math.prod(shape), LOOKED_AT),) for shape in shapes]
    return len(SCALES) * sum(RoundToNearest(fit=fit).estimated_seconds(looked) for fit in FITS)


def best_of(
    methods: tuple[RoundToNearest, ...],
    run: Compression,
    should_stop: ShouldStop | None = None,
    known: dict[RoundToNearest, float] | None = None,
) -> Mapping[str, RoundToNearest]:
    """Return the rounding of each fit that errs least on the layers of a run.

    Parameters
    ----------
    methods : tuple of RoundToNearest
        What to compare, with the most bits each can have.
    run : Compression
        The run: its layers, and the inputs on which they are compared.
    should_stop : callable, optional
        Polled between roundings.
    known : dict of RoundToNearest to float, optional
        Errors found before on the same layers and inputs; those found now are added.

    Returns
    -------
    mapping of str to RoundToNearest
        By fit. With the least Σ ‖X(W − Q)ᵀ‖²/‖XWᵀ‖² over the layers, X a few rows of what enters each in the original
        network; without inputs, with the least mean ‖W − Q‖/‖W‖ over the weights. Of layers with more than
        `LOOKED_AT` weights some neurons are looked at.
    """
    known = {} if known is None else known
    every = [dataclasses.replace(one, fit=fit) for fit in FITS for one in methods]
    new = [method for method in every if method not in known]
    if new:
        known.update(_errors(new, run, should_stop))
    return {fit: min((one for one in every if one.fit == fit), key=known.__getitem__) for fit in FITS}


def _errors(
    methods: Sequence[RoundToNearest], run: Compression, should_stop: ShouldStop | None
) -> dict[RoundToNearest, float]:
    layers = [item.layer for item in run.layers]
    rows = {} if run.inputs is None else layer_rows(run.original, run.inputs, layers)
    looked = [_some(layer, LOOKED_AT) for layer in layers]
    seen = [rows.get(layer.name) for layer in layers]
    whole = [layer_error(layer.vectors("rows"), x) for layer, x in zip(looked, seen, strict=True)]
    weights = np.array([layer.weight.size for layer in layers], float)

    def error(method: RoundToNearest) -> float:
        stop_if(should_stop)
        missed = [method.error(layer, x) for layer, x in zip(looked, seen, strict=True)]
        shares: Array = np.array([one / all_ if all_ > 0 else 0.0 for one, all_ in zip(missed, whole, strict=True)])
        return float(shares.sum() if rows else weights @ np.sqrt(shares))

    return {method: error(method) for method in methods}


def _some(layer: Layer, most: int) -> Layer:
    """Return a layer with some of the neurons of each of its groups, of about so many weights."""
    outputs = len(layer.weight)
    each, width = outputs // layer.groups, layer.weight[0].size
    count = max(1, most // (layer.groups * width))
    if count >= each:
        return layer
    chosen = np.unique(np.linspace(0, each - 1, count).round().astype(int))
    places = (np.arange(layer.groups)[:, None] * each + chosen).reshape(-1)
    return Layer(layer.name, layer.kind, layer.weight[places], None, layer.groups)
