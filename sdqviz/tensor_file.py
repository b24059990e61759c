"""Files of tensors (safetensors), read without trusting anything they say."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.strict_json import read_json, shortened, write_json

LONGEST_HEADER = 32 << 20
"""Bytes of the largest table of tensors that is read."""

BLOCK = 1 << 22
"""Bytes that are copied at once."""

UNFINISHED = ".part"
"""Ending of a file that is being written."""

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


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a tensor lies in a file; nothing of it is read.

    Attributes
    ----------
    dtype : str
        Its type as the file names it.
    shape : tuple of int
        Its shape.
    begin, end : int
        Its bytes, counted from the beginning of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)


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
    length = _table_length(view[:8], len(view))
    metadata, entries = _table(view[8 : 8 + length], len(view))
    return metadata, {
        name: Stored(entry.dtype, entry.shape, view[entry.begin : entry.end]) for name, entry in entries.items()
    }


def file_entries(path: Path) -> tuple[dict[str, str], dict[str, Entry]]:
    """Read the table of a safetensors file on disk, checked as by `open_tensors`; no tensor is read.

    Raises
    ------
    InputError
        If it cannot be read, or is no such file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = _table_length(memoryview(file.read(8)), size)
            return _table(memoryview(file.read(length)), size)
    except OSError as error:
        raise InputError(f"{path.name} must be a file that can be read, got {error.strerror}") from None


def raw(path: Path, entry: Entry) -> Iterator[bytes]:
    """Yield the bytes of a tensor of a file as they are, a piece at a time."""
    with path.open("rb") as file:
        file.seek(entry.begin)
        for start in range(entry.begin, entry.end, BLOCK):
            yield file.read(min(BLOCK, entry.end - start))


def _table_length(first: memoryview, size: int) -> int:
    need = "a safetensors file must"
    if len(first) < 8:
        raise InputError(f"{need} begin with the length of its table, got {len(first)} bytes")
    length = int.from_bytes(first, "little")
    if length > min(LONGEST_HEADER, size - 8):
        raise InputError(f"{need} hold its table, of at most {LONGEST_HEADER >> 20} MiB, got a length of {length}")
    return length


def _table(text: memoryview, size: int) -> tuple[dict[str, str], dict[str, Entry]]:
    """Read a table of tensors, and hold it against the size of its file."""
    need = "a safetensors file must"
    table = read_json(bytes(text), f"{need} have a table")
    metadata = table.pop("__metadata__", {})
    texts = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    if not texts:
        raise InputError(f"{need} have texts as its metadata, got something else")
    first = 8 + len(text)
    tensors = {name: _entry(name, entry, first, size - first) for name, entry in table.items()}
    place = 0
    for begin, end in sorted((entry.begin - first, entry.end - first) for entry in tensors.values()):
        if begin != place:
            raise InputError(f"{need} have its tensors one after the other, got one at byte {begin} for {place}")
        place = end
    if place != size - first:
        raise InputError(f"{need} end with its last tensor, at byte {place}, got {size - first} bytes")
    return metadata, tensors


def _entry(name: str, entry: Any, first: int, length: int) -> Entry:
    where = f"tensor {shortened(name)} of a safetensors file must have"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{where} a type, a shape and offsets, got something else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InputError(f"{where} one of the types {', '.join(DTYPES)}, got {shortened(dtype)}")
    if not is_shape(shape) or not is_shape(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= length:
        raise InputError(f"{where} a shape, and a place in the file, got {shortened(shape)} at {shortened(offsets)}")
    needed = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if needed != offsets[1] - offsets[0]:
        raise InputError(f"{where} {needed} bytes for its shape {tuple(shape)}, got {offsets[1] - offsets[0]}")
    return Entry(dtype, tuple(shape), first + offsets[0], first + offsets[1])


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


@dataclasses.dataclass(frozen=True, eq=False)
class Outgoing:
    """A tensor on its way to a file, a piece at a time.

    Attributes
    ----------
    dtype : str
        Its type as the file names it.
    shape : tuple of int
        Its shape.
    pieces : callable
        Gives its bytes, piece after piece; called anew for each pass over them.
    """

    dtype: str
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[bytes | memoryview]]

    @property
    def bytes(self) -> int:
        """How many bytes its type and shape need."""
        return math.prod(self.shape) * np.dtype(DTYPES[self.dtype]).itemsize


def write_file(path: Path, tensors: Mapping[str, Outgoing], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file without holding it: whole under its name, or not at all.

    Parameters
    ----------
    path : Path
        The file.
    tensors : mapping of str to Outgoing
        What goes into it, in this order.
    metadata : mapping of str to str
        Texts beside it.

    Raises
    ------
    InputError
        If the disk is full, or the file cannot be written.
    """
    table: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for name, one in tensors.items():
        table[name] = {"dtype": one.dtype, "shape": list(one.shape), "data_offsets": [place, place + one.bytes]}
        place += one.bytes
    head = write_json(table).encode()
    head += b" " * (-len(head) % 8)
    with replacing(path) as write:
        write(len(head).to_bytes(8, "little") + head)
        for one in tensors.values():
            for piece in one.pieces():
                write(piece)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Callable[[bytes | memoryview], Any]]:
    """Give what writes to a file that takes its name only when it is whole; the disk has it before the name.

    Raises
    ------
    InputError
        If the disk is full, or the file cannot be written.
    """
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        with unfinished.open("wb") as file:
            yield file.write
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        got = "a full disk" if full else str(error.strerror)
        raise InputError(f"output must be where {path.name} can be written, got {got}") from None
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
