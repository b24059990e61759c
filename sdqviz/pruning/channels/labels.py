"""Labels for the channels of a traced network: which entries of which tensors belong together, and which must stay."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

Role = Literal["produces", "carries", "consumes"]
"""What a parameter does with a channel: makes it, passes it on (norms, bare parameters), or takes it in."""

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

NONE = -1
"""The label of an entry that belongs to no channel."""


@dataclasses.dataclass(eq=False)
class Block:
    """The labels of one dimension of one parameter or buffer, one after another.

    Attributes
    ----------
    path : str
        Of the parameter or buffer.
    dim, size, start : int
        The dimension, its length, and its first label.
    role : Role
        What the tensor does with these channels.
    zeroed : bool
        Whether pruning a channel sets these entries to zero.
    """

    path: str
    dim: int
    size: int
    start: int
    role: Role
    zeroed: bool

    @property
    def labels(self) -> Numbers:
        """All labels, shape (size,)."""
        return np.arange(self.start, self.start + self.size)


class Labels:
    """The book of all labels: given out by tensor and dimension, tied in pairs, kept for reasons."""

    def __init__(self) -> None:
        self.blocks: dict[tuple[str, int], Block] = {}
        self.kept: list[tuple[Numbers, str]] = []
        self._count = 0
        self._pairs: list[tuple[Numbers, Numbers]] = []

    def block(self, path: str, dim: int, size: int, role: Role, *, zeroed: bool) -> Block:
        """Return the labels of a dimension; the same ones each time, with the role of the first time."""
        if (path, dim) not in self.blocks:
            self.blocks[path, dim] = Block(path, dim, size, self._count, role, zeroed)
            self._count += size
        block = self.blocks[path, dim]
        if role == "produces" and block.role == "consumes":  # a matrix that is used both ways round
            block.role, block.zeroed = role, zeroed
        return block

    def tie(self, first: Numbers, second: Numbers) -> None:
        """Say that the channels of two arrays of labels go together, entry by entry."""
        first, second = np.broadcast_arrays(first, second)
        both = (first >= 0) & (second >= 0) & (first != second)
        if both.any():
            pairs = np.unique(np.stack([first[both], second[both]]), axis=1)
            self._pairs.append((pairs[0], pairs[1]))

    def keep(self, labels: Numbers, because: str) -> None:
        """Say that some channels must stay, and why."""
        some = np.unique(labels[labels >= 0])
        if some.size:
            self.kept.append((some, because))

    def match(self, first: Numbers, second: Numbers, because: str) -> Numbers:
        """Tie two arrays of labels; a channel that meets none on the other side is kept. Return the common labels."""
        self.tie(first, second)
        first, second = np.broadcast_arrays(first, second)
        self.keep(np.where(second < 0, first, NONE), because)
        self.keep(np.where(first < 0, second, NONE), because)
        return np.where(first >= 0, first, second)

    def classes(self) -> Numbers:
        """Return for each label the number of its class: what must be removed together, shape (labels,)."""
        if not self._count:
            return np.zeros(0, np.int64)
        first = np.concatenate([a for a, _ in self._pairs]) if self._pairs else np.zeros(0, np.int64)
        second = np.concatenate([b for _, b in self._pairs]) if self._pairs else np.zeros(0, np.int64)
        graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(self._count, self._count))
        return np.asarray(connected_components(graph, directed=False)[1], np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A parameter or buffer that a value consists of, entry by entry.

    Attributes
    ----------
    path : str
        Where it is.
    shape : tuple of int
        Its own shape.
    index : Tensor or None
        For each entry of the value the position in the flat parameter, -1 where it has none; None if the value
        is the parameter as it stands.
    trained : bool
        Whether it is a parameter, which pruning sets to zero, or a buffer, which it leaves alone.
    """

    path: str
    shape: tuple[int, ...]
    index: Tensor | None
    trained: bool

    def moved(self) -> Tensor:
        """Return the positions, shape of the value."""
        if self.index is not None:
            return self.index
        return torch.arange(int(np.prod(self.shape, dtype=np.int64))).view(self.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """What is known of one tensor of the traced network.

    Attributes
    ----------
    shape : tuple of int
        Shape of the tensor.
    axis : int or None
        The dimension along which channels lie; None if the tensor has none.
    labels : ndarray of int, shape (shape[axis],)
        The channel of each slice along the axis, -1 for none.
    zero : ndarray of bool, shape (shape[axis],)
        Whether a slice is zero once the parameters of its channel are. For a parameter one entry: whether the
        value is zero where the parameter is.
    unzero : str
        The operation that made some slice not so, for the explanation.
    parts : tuple of Part
        The parameters the value consists of, if it is a parameter, moved or passed through operations that act
        on each entry alone (a quantizer, a mask).
    rigid : str
        Why a parameter cannot be cut, if it cannot.
    number : Tensor or None
        The value itself, where it is known and small.
    origins : frozenset of int
        The vertices of the drawn graph that the value comes from.
    attached : frozenset of str
        Single numbers among the parameters that went into it: a quantizer's step, range and exponent.
    source : Tensor or None, shape ``shape``
        Of the output of a layer that was only moved since: the label that the layer's weight gave each entry.
    """

    shape: tuple[int, ...]
    axis: int | None = None
    labels: Numbers = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    zero: Flags = dataclasses.field(default_factory=lambda: np.zeros(0, bool))
    unzero: str = ""
    parts: tuple[Part, ...] = ()
    rigid: str = ""
    number: Tensor | None = None
    origins: frozenset[int] = frozenset()
    attached: frozenset[str] = frozenset()
    source: Tensor | None = None

    @property
    def labelled(self) -> bool:
        """Whether the tensor has channels."""
        return self.axis is not None

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape, dtype=np.int64))

    def plain(self, shape: Iterable[int]) -> Value:
        """Return a value of another shape that comes from this one and has no channels."""
        return Value(tuple(shape), origins=self.origins, attached=self.attached)

    def replaced(self, **changes: Any) -> Value:
        """Return a copy with some attributes changed."""
        return dataclasses.replace(self, **changes)

    def spread(self) -> Tensor:
        """Return for each entry twice its label plus one if it is not zero when removed, or -1; shape ``shape``."""
        if self.axis is None:
            raise ValueError("a value without channels has no labels to spread")
        codes = torch.from_numpy(np.where(self.labels < 0, NONE, 2 * self.labels + ~self.zero))
        lined = [1] * len(self.shape)
        lined[self.axis] = len(codes)
        return codes.view(lined).expand(self.shape)


def varying(tensor: Tensor) -> list[int]:
    """Return the dimensions along which the entries of a tensor differ."""
    found = []
    for dim in range(tensor.ndim):
        if tensor.shape[dim] > 1 and tensor.stride(dim) != 0 and bool((tensor != tensor.narrow(dim, 0, 1)).any()):
            found.append(dim)
    return found


def along(part: Part, shape: tuple[int, ...], axis: int) -> tuple[int, Numbers] | None:
    """Return which dimension of a parameter runs along an axis of a value, and where each slice lies in it."""
    size = shape[axis]
    if part.index is None:
        offset = len(shape) - len(part.shape)
        dim = axis - offset
        if dim < 0 or (part.shape[dim] == 1 and size > 1):
            return None
        return dim, np.arange(size)
    index = part.index
    if index.ndim == len(part.shape) == 1:  # perhaps with stretches that other parameters fill
        return 0, index.numpy()
    line = index
    for dim in reversed(range(line.ndim)):
        if dim != axis:
            line = line.select(dim, 0)
    first = np.array(np.unravel_index(line.numpy().clip(0), part.shape))  # (dims of the parameter, size)
    moving = [d for d in range(len(part.shape)) if (first[d] != first[d, :1]).any()]
    if not moving and axis not in varying(index):
        return None
    if len(moving) != 1 or bool((index < 0).any()):
        return -1, np.zeros(0, np.int64)
    dim, where = moving[0], first[moving[0]]
    stride = math.prod(part.shape[dim + 1 :])
    coordinate = index.div(stride, rounding_mode="floor") % part.shape[dim]
    lined = [1] * len(shape)
    lined[axis] = size
    if bool((coordinate != torch.from_numpy(where).view(lined)).any()):
        return -1, np.zeros(0, np.int64)
    return dim, where


def is_value(value: Any) -> bool:
    """Whether an argument is a tensor of the graph."""
    return isinstance(value, Value)


def leaves(nested: Any) -> list[Any]:
    """Return what lies in nested lists and mappings, in order."""
    if isinstance(nested, tuple | list):
        return [leaf for one in nested for leaf in leaves(one)]
    if isinstance(nested, Mapping):
        return [leaf for one in nested.values() for leaf in leaves(one)]
    return [nested]
