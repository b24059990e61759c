"""What a packed file holds of a layer: packed arrays, each held against the size of the file before it is believed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.array import FLOAT_BITS
from sdqviz.error import InputError
from sdqviz.storage.bits import Packed
from sdqviz.storage.codes import MOST_BITS
from sdqviz.strict_json import shortened
from sdqviz.tensor_file import Stored, is_shape


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """One packed array of a layer, not yet unpacked.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array.
    bits : int
        Bits per entry.
    runs : bool
        Whether these are flags stored by the lengths of their runs.
    data : memoryview
        The packed bytes; without runs exactly as many as shape and bits need.
    """

    shape: tuple[int, ...]
    bits: int
    runs: bool
    data: memoryview

    def unpack(self) -> Packed:
        """Return the array."""
        return Packed.from_bytes(np.frombuffer(self.data, np.uint8), self.shape, self.bits, self.runs)


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """What a file holds of one layer.

    Attributes
    ----------
    name : str
        The layer.
    shape : tuple of int
        Shape of its weight.
    groups : int
        Groups of a convolution, else 1.
    parts : dict of str to Part
        What is stored.
    parameters : dict
        What decoding needs besides.
    """

    name: str
    shape: tuple[int, ...]
    groups: int
    parts: Mapping[str, Part]
    parameters: Mapping[str, Any]


def checked_row(row: Any, tensors: Mapping[str, Stored]) -> Row:
    """Hold what a recipe says of a layer against the tensors that are there."""
    kinds = {"name": str, "shape": list, "groups": int, "stored": dict, "parameters": dict}
    if (
        not isinstance(row, dict)
        or set(row) != set(kinds)
        or not all(isinstance(row[entry], kind) for entry, kind in kinds.items())
    ):
        raise InputError("each layer must have a name, shape, groups, stored parts and parameters, got something else")
    name, shape, groups = row["name"], row["shape"], row["groups"]
    if not is_shape(shape) or not 2 <= len(shape) <= 4 or 0 in shape:
        raise InputError(f"layer {shortened(name)} must have the shape of a weight, got {shortened(shape)}")
    if groups is True or groups < 1 or shape[0] % groups:
        raise InputError(f"layer {shortened(name)} must have groups that divide its outputs, got {shortened(groups)}")
    most = math.prod(shape) + shape[0]  # all weights and biases
    parts = {key: _checked_part(f"{name}:{key}", part, tensors, most) for key, part in row["stored"].items()}
    return Row(name, tuple(shape), groups, parts, row["parameters"])


def _checked_part(key: str, part: Any, tensors: Mapping[str, Stored], most: int) -> Part:
    where = f"part {shortened(key)} must"
    if not isinstance(part, dict) or not {"shape", "bits"} <= set(part) <= {"shape", "bits", "runs"}:
        raise InputError(f"{where} have a shape and bits, got something else")
    shape, bits, runs = part["shape"], part["bits"], part.get("runs", False)
    if not is_shape(shape) or isinstance(bits, bool) or bits not in {*range(1, MOST_BITS + 1), FLOAT_BITS}:
        raise InputError(f"{where} have a shape, and bits from 1 to {MOST_BITS} or 32, got {shortened(part)}")
    if not isinstance(runs, bool) or (runs and bits != 1):
        raise InputError(f"{where} store runs of flags of one bit, got {shortened(part)}")
    if key not in tensors or tensors[key].dtype != "U8":
        raise InputError(f"{where} be among the tensors as bytes, got none")
    data, count = tensors[key].data, math.prod(shape)
    if runs:  # a few bytes can stand for any number of flags, so the layer itself has to have room for them
        if count > most:
            raise InputError(f"{where} have at most {most} flags, a flag a weight, got {count}")
    elif len(data) != -(-count * bits // 8):
        raise InputError(f"{where} take {-(-count * bits // 8)} bytes for shape {tuple(shape)}, got {len(data)}")
    return Part(tuple(shape), bits, runs, data)
