"""Torch layers as matrices of vectors to quantize: the only place that knows convolutions and groups."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.error import InputError
from sdqviz.kernels.spectral_norm import spectral_norm

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One compressible layer of a network.

    Attributes
    ----------
    name : str
        Path of the module, as ``module.get_submodule(name)`` takes it.
    kind : str
        ``"Linear"``, ``"Conv1d"`` or ``"Conv2d"``.
    weight : ndarray of float64
        In torch's shape: (out, in) or (out, in/groups, *kernel); read-only.
    bias : ndarray of float64 or None, shape (out,)
        Read-only.
    groups : int
        Groups of a convolution, else 1.
    """

    name: str
    kind: str
    weight: Array
    bias: Array | None
    groups: int

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.weight, self.bias):
            if array is not None:
                array.setflags(write=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's."""
        return tuple(self.weight.shape)

    @property
    def rows(self) -> Array:
        """The vectors of the axis "rows" where they lie, shape (out, inputs of each): read-only."""
        weight = self.weight
        return weight.reshape(len(weight), -1)

    def neurons(self, which: slice | Index) -> Array:
        """Return some rows of the layer's matrix, in that order: shape (m, inputs of each), not to be changed."""
        return self.rows[which]

    def vectors(self, axis: str = "columns") -> Array:
        """Return the vectors to quantize, shape (M, d); see `to_vectors`."""
        return to_vectors(self.weight, self.groups, axis)

    def dimension(self, axis: str = "columns") -> int:
        """Return d, the length of the vectors: outputs per group for columns, inputs per output for rows."""
        _check_axis(axis)
        outputs = self.weight.shape[0]
        return outputs // self.groups if axis == "columns" else self.weight.size // outputs

    @functools.cached_property
    def norm(self) -> float:
        """‖W‖₂ of the layer's matrix (of a grouped convolution: its groups' matrices side by side)."""
        return spectral_norm(self.vectors())

    def count(self, axis: str = "columns") -> int:
        """Return M, the number of vectors."""
        return self.weight.size // self.dimension(axis)


def to_vectors(weight: Array, groups: int, axis: str) -> Array:
    """Write a weight as rows to be quantized.

    Each group of a layer multiplies its unfolded inputs by a matrix W of shape (out/groups,
    in_per_group·kernel). Its columns, or its rows, are the vectors.

    Parameters
    ----------
    weight : ndarray, shape (out, in_per_group, *kernel)
        A torch weight.
    groups : int
        Groups; 1 for a dense layer.
    axis : {"columns", "rows"}
        ``"columns"``: d = out/groups and M = groups·in_per_group·kernel. ``"rows"``: d =
        in_per_group·kernel and M = out.

    Returns
    -------
    ndarray, shape (M, d)
        A new, contiguous array.

    Examples
    --------
    >>> to_vectors(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), 1, "columns")
    array([[1., 4.],
           [2., 5.],
           [3., 6.]])
    """
    _check_axis(axis)
    outputs = weight.shape[0]
    if axis == "rows":
        return np.array(weight.reshape(outputs, -1), order="C")
    return _turned(weight.reshape(groups, outputs // groups, -1)).reshape(-1, outputs // groups)


def from_vectors(vectors: Array, shape: tuple[int, ...], groups: int, axis: str) -> Array:
    """Invert `to_vectors`: put vectors, shape (M, d), back into a weight of the given shape.

    Nothing is copied where the weight lies in memory as it should: of rows, and of columns that lie side by side.

    Raises
    ------
    InputError
        If the vectors do not have the shape that such a weight has.
    """
    _check_axis(axis)
    outputs = shape[0]
    width = math.prod(shape[1:])
    expected = (outputs, width) if axis == "rows" else (groups * width, outputs // groups)
    if vectors.shape != expected:
        raise InputError(f"vectors must have shape {expected} for a weight of shape {shape}, got {vectors.shape}")
    if axis == "rows":
        return vectors.reshape(shape)
    if groups == 1 and vectors.flags.f_contiguous:
        return vectors.T.reshape(shape)
    by_group = vectors.reshape(groups, width, outputs // groups)
    return _turned(by_group).reshape(shape)


FEW = 8
"""The most matrices that are turned one by one."""


def _turned(matrices: Array) -> Array:
    """Return the transposes of matrices, shape (g, n, m) → (g, m, n), as a new array."""
    from sdqviz.kernels.turn import turned

    count, rows, columns = matrices.shape
    if count > FEW:
        return np.array(matrices.transpose(0, 2, 1), order="C")
    found = np.empty((count, columns, rows), matrices.dtype)
    for one, into in zip(np.ascontiguousarray(matrices), found, strict=True):
        turned(one, into=into)
    return found


def find_layers(
    module: nn.Module, without: Container[str] = (), exact: Mapping[tuple[str, str], Array] | None = None
) -> tuple[Layer, ...]:
    """Return the Linear, Conv1d and Conv2d layers of a module, in the order of definition.

    A weight that several of them share is met once, under its first name. A weight that also belongs
    to a module of another kind (an output layer tied to an embedding, say) is left alone, as are all
    embeddings and normalisations, and the layers in ``without``. Weights and biases that are in ``exact``, by the name
    of the layer and which of the two, are these instead of what the module has of them.

    Raises
    ------
    InputError
        If a weight is not a plain floating-point parameter, or has a NaN or infinite entry; the
        layer is named.
    """
    known = exact or {}

    def of(name: str, which: str, parameter: Tensor) -> Array:
        return _values(name, which, parameter, known=known.get((name, which)))

    return tuple(
        Layer(name, kind, of(name, "weight", weight), None if bias is None else of(name, "bias", bias), groups)
        for name, kind, weight, bias, groups in _compressible(module, without)
    )


def layers_on_demand(module: nn.Module, without: Container[str] = ()) -> tuple[Layer, ...]:
    """Return the same layers with weights that are read from the module each time they are asked for.

    Raises
    ------
    InputError
        If a weight is not a plain floating-point parameter; one that is not finite is refused when it is asked for.
    """
    return tuple(LayerOnDemand(*found) for found in _compressible(module, without))


class LayerOnDemand(Layer):
    """A layer that holds no numbers of its own.

    Parameters
    ----------
    name, kind, groups
        As of a `Layer`.
    weight, bias : Parameter, and Parameter or None
        Where its numbers are.
    """

    def __init__(self, name: str, kind: str, weight: Tensor, bias: Tensor | None, groups: int) -> None:
        vars(self).update(name=name, kind=kind, groups=groups, _weight=weight, _bias=bias)

    @property
    def weight(self) -> Array:  # type: ignore[override]
        """In float64, read-only; a new array each time."""
        return _read_only(_values(self.name, "weight", vars(self)["_weight"]))

    def neurons(self, which: slice | Index) -> Array:
        """Return some rows of the layer's matrix; only these are read."""
        return _values(self.name, "weight", vars(self)["_weight"], which).reshape(-1, math.prod(self.shape[1:]))

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's, which is not read for it."""
        return tuple(vars(self)["_weight"].shape)

    @property
    def bias(self) -> Array | None:  # type: ignore[override]
        """The same of the biases."""
        bias = vars(self)["_bias"]
        return None if bias is None else _read_only(_values(self.name, "bias", bias))


def _read_only(values: Array) -> Array:
    values.setflags(write=False)
    return values


def _compressible(
    module: nn.Module, without: Container[str]
) -> Iterator[tuple[str, str, Tensor, Tensor | None, int]]:  # fmt: skip
    """Yield name, kind, weight, bias and groups of the layers that are compressed."""
    from torch import nn

    compressible = compressible_kinds()
    foreign = _foreign(module)
    seen: set[int] = set()
    for name, part in module.named_modules():
        if not isinstance(part, compressible) or name in without:
            continue
        weight = _plain(name, part, "weight")
        if weight is None or weight.data_ptr() in seen | foreign:
            continue
        seen.add(weight.data_ptr())
        kind = next(cls.__name__ for cls in compressible if isinstance(part, cls))
        groups = part.groups if isinstance(part, nn.Conv1d | nn.Conv2d) else 1
        yield name, kind, weight, _plain(name, part, "bias"), int(groups)


def compressible_kinds() -> tuple[type[nn.Module], ...]:
    """Return the torch classes that are compressed."""
    from torch import nn

    return (nn.Linear, nn.Conv1d, nn.Conv2d)


def _foreign(module: nn.Module) -> set[int]:
    """Return where the weights of all other kinds of modules lie in memory."""
    compressible = compressible_kinds()
    return {
        parameter.data_ptr()
        for part in module.modules()
        if not isinstance(part, compressible)
        for parameter in part.parameters(recurse=False)
    }


def _plain(name: str, part: nn.Module, which: str) -> Tensor | None:
    # a weight computed from others (weight norm, parametrizations) could not be replaced by a new one
    if which not in part._parameters:
        raise InputError(
            f"layer {name!r} must hold its {which} as a plain parameter, got a computed one: "
            "remove its parametrization first"
        )
    parameter = part._parameters[which]
    if parameter is None:
        return None
    if parameter.is_meta or not parameter.is_floating_point():
        raise InputError(
            f"layer {name!r} must hold real floating-point numbers as its {which}, "
            f"got {parameter.dtype} on device {parameter.device}"
        )
    return parameter


def _values(
    name: str, which: str, parameter: Tensor, some: slice | Index = slice(None), known: Array | None = None
) -> Array:
    import torch

    from sdqviz.networks.mapped import let_go

    given = parameter.detach()[some]
    if known is None:
        values = np.empty(given.shape)  # numpy asks for large pages, torch for small ones, which take longer to come by
        torch.from_numpy(values).copy_(given)
    else:
        values = known
    seen = given if given.element_size() > 1 else torch.from_numpy(values)  # of single bytes torch knows no extremes
    whole = values.size == 0 or all(bool(extreme.isfinite()) for extreme in seen.aminmax())  # NaN spoils them
    let_go(parameter)
    if not whole:
        count = int((~parameter.isfinite()).sum())
        raise InputError(f"layer {name!r} must have a finite {which}, got {count} entries that are NaN or infinite")
    return values


def _check_axis(axis: str) -> None:
    if axis not in ("columns", "rows"):
        raise InputError(f"axis must be 'columns' or 'rows', got {axis!r}")
