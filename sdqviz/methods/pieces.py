"""Layers compressed a few vectors at a time, where these do not depend on each other: same levels, little memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sdqviz.array import Array
from sdqviz.methods.method import CompressedLayer
from sdqviz.networks.layer import Layer
from sdqviz.storage.bits import Packed, Packer

WHOLE = ("step", "zero")
"""Stored parts with a number for each vector, or one for all of them."""

AT_ONCE = 1 << 20
"""Weights whose errors are summed up at once."""


@dataclasses.dataclass(frozen=True)
class Cut:
    """How a layer can be cut.

    Attributes
    ----------
    axis : {"rows", "columns"}
        Of the layer's matrix: its vectors do not depend on each other.
    count : int
        Vectors in a piece, but for the last; results are those of the whole for this number and its multiples.
    one_step : bool
        Whether a step that all vectors share is stored once.
    """

    axis: str
    count: int
    one_step: bool

    def slices(self, shape: Sequence[int]) -> Iterator[tuple[slice, slice]]:
        """Yield which outputs and which inputs of a weight each piece has."""
        along = shape[0] if self.axis == "rows" else shape[1]
        for start in range(0, along, self.count):
            part = slice(start, min(start + self.count, along))
            yield (part, slice(None)) if self.axis == "rows" else (slice(None), part)


@runtime_checkable
class InPieces(Protocol):
    """A method that can compress layers a few vectors at a time: all pieces are looked at first."""

    def cut(self, shape: tuple[int, ...]) -> Cut | None:
        """Return how a layer without groups can be cut; None where its vectors depend on each other."""

    def look(self, piece: Layer, seed: int) -> Any:
        """Return what has to be known of a piece before any is compressed."""

    def settled(self, looks: Sequence[Any], seed: int) -> Callable[[Layer], CompressedLayer]:
        """Return what compresses each piece, now that all were looked at."""


@dataclasses.dataclass(frozen=True, eq=False)
class StoredPart:
    """A part as it lies in a file.

    Attributes
    ----------
    shape : tuple of int
        Of its array.
    bits : int
        Bits of an entry.
    data : ndarray of uint8
        The packed bytes.
    runs : bool
        Whether these are flags by their runs.
    """

    shape: tuple[int, ...]
    bits: int
    data: Array
    runs: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class StoredLayer:
    """What a file holds of one layer, and what is told of it.

    Attributes
    ----------
    stored : mapping of str to StoredPart
        By key, as in `CompressedLayer.stored`.
    parameters : mapping
        What decoding needs besides.
    square_error, square : float
        ‖W − Q‖_F² and ‖W‖_F².
    with_bias : bool
        Whether its biases are among what is stored.
    """

    stored: Mapping[str, StoredPart]
    parameters: Mapping[str, Any]
    square_error: float
    square: float
    with_bias: bool

    @property
    def bytes(self) -> int:
        """Bytes of all parts."""
        return sum(len(part.data) for part in self.stored.values())


def joined(pieces: Iterable[CompressedLayer], cut: Cut | None) -> StoredLayer:
    """Put the pieces of a layer together; of one piece, the whole layer, nothing changes.

    Parameters
    ----------
    pieces : iterable of CompressedLayer
        In order; each is let go of before the next is asked for.
    cut : Cut or None
        How the layer was cut; None where there is one piece.
    """
    packers: dict[str, tuple[Packer, list[tuple[int, ...]]]] = {}
    whole: dict[str, list[Array]] = {}
    parameters: Mapping[str, Any] = {}
    error = square = 0.0
    with_bias = False
    for piece in pieces:
        parameters, with_bias = piece.parameters, piece.bias is not None
        missed, own = _squares(piece)
        error, square = error + missed, square + own
        if cut is None:
            parts = {
                key: StoredPart(tuple(one.values.shape), one.bits, one.to_bytes(), one.runs)
                for key, one in piece.stored.items()
            }
            return StoredLayer(parts, parameters, error, square, with_bias)
        vectors = piece.layer.count(cut.axis)
        for key, one in piece.stored.items():
            packer, shapes = packers.setdefault(key, (Packer(one.bits), []))
            shapes.append(tuple(one.values.shape))
            if key in WHOLE:
                spread = one.values.ndim == 1 and len(one.values) < vectors
                whole.setdefault(key, []).append(np.broadcast_to(one.values, vectors) if spread else one.values)
            else:
                packer.add(one.values)
    stored = {}
    for key, (packer, shapes) in packers.items():
        if key in WHOLE:
            values = np.concatenate(whole[key], axis=-1)
            same = cut is not None and cut.one_step and values.ndim == 1 and bool((values == values[0]).all())
            values = values[:1] if same else values
            stored[key] = StoredPart(tuple(values.shape), packer.bits, Packed(values, packer.bits).to_bytes())
        else:
            shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
            stored[key] = StoredPart(shape, packer.bits, packer.to_bytes())
    return StoredLayer(stored, parameters, error, square, with_bias)


def _squares(piece: CompressedLayer) -> tuple[float, float]:
    """Return ‖W − Q‖_F² and ‖W‖_F², a few rows at a time."""
    count = len(piece.weight)
    together = max(1, AT_ONCE // max(piece.weight[:1].size, 1))
    error = square = 0.0
    for start in range(0, count, together):
        rows = piece.layer.neurons(slice(start, start + together))
        square += float((rows**2).sum())
        error += float(((rows - piece.weight[start : start + together].reshape(rows.shape)) ** 2).sum())
    return error, square
