"""Platonic solids: the vertices of the five regular polyhedra, as frames of space."""

from __future__ import annotations

import dataclasses
import itertools
from typing import ClassVar

import numpy as np

from sdqviz.array import Array
from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import DenseOperator, Frame, FrameChoice

SOLIDS = {4: "tetrahedron", 6: "octahedron", 8: "cube", 12: "icosahedron", 20: "dodecahedron"}
"""The solids by their number of vertices."""


@FRAMES.register
@dataclasses.dataclass(frozen=True)
class Platonic(FrameChoice):
    """The N vertices of a regular polyhedron on the unit sphere of R³, N ∈ {4, 6, 8, 12, 20}.

    Unit-norm, tight and zero-sum: S commutes with the symmetry group, which acts irreducibly on R³,
    so S = (N/3)I by Schur's lemma.

    Notes
    -----
    Coordinates: H. S. M. Coxeter, *Regular Polytopes*, §3.7; φ is the golden ratio.

    Examples
    --------
    >>> frame = Platonic(size=12).build()
    >>> frame.bounds
    (4.0, 4.0)
    >>> round(Platonic(size=4).build().coherence, 12)
    0.333333333333
    """

    name = "platonic"
    title = "Platonic solid"
    any_dimension: ClassVar[bool] = False

    dimension: int = field(3, label="Dimension d", help="Platonic solids live in space.", minimum=3, maximum=3)
    size: int = field(
        12,
        label="Frame size N",
        help="Number of vertices: 4 tetrahedron, 6 octahedron, 8 cube, 12 icosahedron, 20 dodecahedron.",
        minimum=4,
        maximum=20,
    )

    def check(self) -> None:
        """Require a number of vertices that a regular polyhedron has."""
        if self.size not in SOLIDS:
            raise InputError(f"size must be one of {', '.join(map(str, SOLIDS))}, got {self.size}: no such solid")

    @classmethod
    def admissible_size(cls, dimension: int, at_least: int) -> int:
        """Return the smallest number of vertices ≥ ``at_least``; refuse other dimensions and more than 20."""
        if dimension != 3:
            raise InputError(f"dimension must be 3 for Platonic solids, got {dimension}")
        for vertices in SOLIDS:
            if vertices >= at_least:
                return vertices
        raise InputError(f"size must be at most {max(SOLIDS)} for Platonic solids, got {at_least}")

    def build(self, seed: int = 0) -> Frame:
        """Return the frame; it does not depend on the seed."""
        vertices = _vertices(self.size)
        unit = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
        return Frame(DenseOperator(unit), 3, self.size, tight=True)


def _vertices(count: int) -> Array:
    golden = (1 + np.sqrt(5)) / 2
    cube = list(itertools.product((1.0, -1.0), repeat=3))
    if count == 4:
        return np.array([v for v in cube if np.prod(v) > 0])
    if count == 6:
        return np.concatenate([np.eye(3), -np.eye(3)])
    if count == 8:
        return np.array(cube)
    if count == 12:
        return _cyclic(1.0, golden)
    return np.concatenate([np.array(cube), _cyclic(1 / golden, golden)])


def _cyclic(a: float, b: float) -> Array:
    """Return all cyclic rearrangements of (0, ±a, ±b), shape (12, 3)."""
    signed = np.array([(0.0, s * a, t * b) for s in (1, -1) for t in (1, -1)])
    return np.concatenate([np.roll(signed, shift, axis=1) for shift in range(3)])
