"""A frame of one's own: any array of vectors, checked, and made unit-norm and tight on request."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.array import Array
from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import DenseOperator, Frame, FrameChoice

LARGEST = 1 << 18
"""Most numbers a given frame may have: they travel inside the choice, in links and in saved files."""

ACCURACY = 1e-9
"""How far norms and frame bounds may be from those of a unit-norm tight frame."""

LEAST_SPREAD = 1e-6
"""Smallest singular value, relative to the largest, of vectors that count as spanning."""

_HALF_ROOT_3 = 0.75**0.5

Vectors = tuple[tuple[float, ...], ...]
"""Frame vectors, one a row, hashable."""


@FRAMES.register
@dataclasses.dataclass(frozen=True)
class GivenFrame(FrameChoice):
    """The rows of an array as frame vectors; the Mercedes-Benz frame unless others are given.

    ``dimension`` and ``size`` follow the array. If they are given too they must agree with it.

    Notes
    -----
    ``tighten`` replaces the vectors by a unit-norm tight frame near them: see `sdqviz.frames.tightening`.
    Without it the vectors are used as they are and must be unit-norm and tight up to 1e-9, because
    the quantizer's reconstruction and its bounds rest on that.

    Examples
    --------
    >>> GivenFrame().build().bounds
    (1.5, 1.5)
    >>> frame = GivenFrame.from_array([[1, 0], [1, 1], [0, 2], [1, -1]], tighten=True).build()
    >>> frame.bounds, frame.tightness < 1e-10
    ((2.0, 2.0), True)
    """

    name = "given"
    title = "Your own vectors"
    any_dimension: ClassVar[bool] = False

    dimension: int = field(
        2, label="Dimension d", help="Length of the given vectors.", minimum=1, maximum=65536, advanced=True
    )
    size: int = field(
        3, label="Frame size N", help="Number of given vectors.", minimum=1, maximum=LARGEST, advanced=True
    )
    vectors: tuple[tuple[float, ...], ...] = field(
        ((0.0, 1.0), (-_HALF_ROOT_3, -0.5), (_HALF_ROOT_3, -0.5)),
        label="Vectors",
        help="The frame vectors, one a row: at least as many as dimensions, and spanning.",
    )
    tighten: bool = field(
        False, label="Make tight", help="Move the vectors to a unit-norm tight frame near them before use."
    )

    @classmethod
    def from_array(cls, array: ArrayLike, tighten: bool = False) -> Self:
        """Return the choice for an array of vectors, shape (N, d).

        Raises
        ------
        InputError
            If the array is not two-dimensional, not finite, too large, does not span R^d, or is not
            unit-norm and tight although ``tighten`` is False.
        """
        rows = _as_rows(array)
        return cls(dimension=rows.shape[1], size=rows.shape[0], vectors=_as_tuples(rows), tighten=tighten)

    def __post_init__(self) -> None:
        """Read the vectors, let d and N follow them, and check that they form a usable frame."""
        rows = _as_rows(self.vectors)
        object.__setattr__(self, "vectors", _as_tuples(rows))
        shape = {"size": rows.shape[0], "dimension": rows.shape[1]}
        if all(getattr(self, name) == self.defaults()[name] for name in shape):
            for name, length in shape.items():
                object.__setattr__(self, name, length)
        super().__post_init__()
        for name, length in shape.items():
            if getattr(self, name) != length:
                raise InputError(
                    f"{name} must be {length} for the given vectors of shape {rows.shape}, got {getattr(self, name)}"
                )
        _check_frame(rows, self.tighten)

    @classmethod
    def admissible_size(cls, dimension: int, at_least: int) -> int:
        """Return 3 in dimension 2, for the default vectors; otherwise only the array itself can tell."""
        size, default = cls.defaults()["size"], cls.defaults()["dimension"]
        if dimension != default or at_least > size:
            raise InputError(
                f"dimension and size must be those of the given vectors, got d = {dimension} and N ≥ {at_least}: "
                "give vectors of that shape"
            )
        return int(size)

    def build(self, seed: int = 0) -> Frame:
        """Return the frame; it does not depend on the seed."""
        from sdqviz.frames.tightening import unit_norm_tight

        rows = np.array(self.vectors)
        if self.tighten:
            rows = unit_norm_tight(rows)
        return Frame(DenseOperator(rows), self.dimension, self.size, tight=True)


def _as_rows(values: ArrayLike) -> Array:
    """Return the vectors as an array of shape (N, d), finite and not too large."""
    try:
        rows = np.asarray(values, float)
    except (TypeError, ValueError):
        raise InputError("vectors must be rows of numbers, all of one length, got something else") from None
    if rows.ndim != 2 or 0 in rows.shape:
        raise InputError(f"vectors must be a table with one vector a row, got shape {rows.shape}")
    if rows.size > LARGEST:
        raise InputError(f"vectors must have at most {LARGEST} numbers, got {rows.size}")
    if not np.isfinite(rows).all():
        raise InputError(f"vectors must be finite, got {int((~np.isfinite(rows)).sum())} numbers that are not")
    return rows


def _as_tuples(rows: Array) -> Vectors:
    return tuple(tuple(row) for row in rows.tolist())


def _check_frame(rows: Array, tighten: bool) -> None:
    """Refuse vectors that do not span, and those that are not unit-norm and tight unless that is mended."""
    size, dimension = rows.shape
    values = np.linalg.svd(rows, compute_uv=False)
    rank = int((values > LEAST_SPREAD * values[0]).sum())
    if rank < dimension:
        raise InputError(
            f"vectors must span R^{dimension} to be a frame, got {size} vectors that span only {rank} dimensions"
        )
    if tighten:
        return
    norms = np.linalg.norm(rows, axis=1)
    low, high = values[-1] ** 2, values[0] ** 2
    if np.abs(norms - 1).max() > ACCURACY:
        raise InputError(
            f"vectors must have norm 1, got norms from {norms.min():.4g} to {norms.max():.4g}: ask to make them tight"
        )
    if high - low > ACCURACY * high:
        raise InputError(
            f"vectors must form a tight frame, got frame bounds {low:.4g} and {high:.4g}: ask to make them tight"
        )
