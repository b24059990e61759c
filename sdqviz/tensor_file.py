"""Files of tensors (safetensors), read without trusting anything they say."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.strict_json import read_json, shortened

LONGEST_HEADER = 32 << 20
"""Bytes of the largest table of tensors that is read."""


DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2",
}  # fmt: skip
"""numpy's names of the types a safetensors file may hold; bfloat16 is the upper half of a float32."""


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """A tensor in a file, not yet read.

    Attributes
    ----------
    dtype : str
        Its type as the file names it, for example ``"F32"``.
    shape : tuple of int
        Its shape.
    data : memoryview
        Its bytes, exactly as many as type and shape need.
    """

    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    def array(self) -> Array:
        """Return the values, bfloat16 as float32."""
        values = np.frombuffer(self.data, DTYPES[self.dtype]).reshape(self.shape)
        return (values.astype(np.uint32) << 16).view(np.float32) if self.dtype == "BF16" else values.copy()


def open_tensors(data: bytes | memoryview) -> tuple[dict[str, str], dict[str, Stored]]:
    """Read the table of a safetensors file; the tensors stay where they are, and nothing else is allocated.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    metadata : dict of str to str
        What was written beside the tensors.
    tensors : dict of str to Stored
        By name. Together they fill the file: nothing overlaps, nothing is left over.

    Raises
    ------
    InputError
        If the file is not whole, or any type, shape or place does not agree with its size.
    """
    view = memoryview(data)
    need = "a safetensors file must"
    if len(view) < 8:
        raise InputError(f"{need} begin with the length of its table, got {len(view)} bytes")
    length = int.from_bytes(view[:8], "little")
    if length > min(LONGEST_HEADER, len(view) - 8):
        raise InputError(f"{need} hold its table, of at most {LONGEST_HEADER >> 20} MiB, got a length of {length}")
    table = read_json(bytes(view[8 : 8 + length]), f"{need} have a table")
    metadata = table.pop("__metadata__", {})
    texts = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    if not texts:
        raise InputError(f"{need} have texts as its metadata, got something else")
    body = view[8 + length :]
    tensors = {name: _stored(name, entry, body) for name, entry in table.items()}
    place = 0
    for begin, end in sorted(tuple(entry["data_offsets"]) for entry in table.values()):
        if begin != place:
            raise InputError(f"{need} have its tensors one after the other, got one at byte {begin} for {place}")
        place = end
    if place != len(body):
        raise InputError(f"{need} end with its last tensor, at byte {place}, got {len(body)} bytes")
    return metadata, tensors


def _stored(name: str, entry: Any, body: memoryview) -> Stored:
    where = f"tensor {shortened(name)} of a safetensors file must have"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{where} a type, a shape and offsets, got something else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InputError(f"{where} one of the types {', '.join(DTYPES)}, got {shortened(dtype)}")
    if not is_shape(shape) or not is_shape(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= len(body):
        raise InputError(f"{where} a shape, and a place in the file, got {shortened(shape)} at {shortened(offsets)}")
    needed = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if needed != offsets[1] - offsets[0]:
        raise InputError(f"{where} {needed} bytes for its shape {tuple(shape)}, got {offsets[1] - offsets[0]}")
    return Stored(dtype, tuple(shape), body[offsets[0] : offsets[1]])


def is_shape(value: object) -> bool:
    """Whether a value of a JSON file is a list of at most eight whole numbers from 0 to 2⁴⁸."""
    return (
        isinstance(value, list)
        and len(value) <= 8
        and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= 1 << 48 for n in value)
    )


def write_tensors(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file as bytes; `open_tensors` reads it."""
    from safetensors.numpy import save

    return save(dict(tensors), metadata=dict(metadata))
