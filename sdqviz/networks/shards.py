"""Weights in one or many safetensors files on disk, read a tensor, or a part of one, at a time."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.strict_json import read_json, shortened
from sdqviz.tensor_file import DTYPES, Entry, file_entries, raw

INDEX = ".index.json"
"""Ending of the file that says which shard holds which tensor."""

LARGEST_INDEX = 32 << 20
"""Bytes of an index that is read."""

NUMBERED = re.compile(r"(.*?)-?(\d+)-of-(\d+)(\.safetensors)")
"""A shard's name that says how many there are."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shards:
    """Tensors by name, each in one of some files; only their tables are read.

    Attributes
    ----------
    files : tuple of Path
        In the order in which they were given, or their names' order.
    entries : mapping of str to Entry
        Where in its file each tensor is.
    homes : mapping of str to Path
        Which file that is.
    """

    files: tuple[Path, ...]
    entries: Mapping[str, Entry]
    homes: Mapping[str, Path]

    @property
    def digest(self) -> str:
        """SHA-256 of the names, types, shapes and places of all tensors, and of the files' names and times."""
        told = [f"{file.name}|{file.stat().st_size}|{file.stat().st_mtime_ns}" for file in self.files]
        told += [f"{name}|{self.homes[name].name}|{entry}" for name, entry in sorted(self.entries.items())]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def values(self, name: str, which: tuple[slice, slice] = (slice(None), slice(None))) -> Array:
        """Return a tensor in float64, or some of its first and second axis; only what is needed is read.

        Parameters
        ----------
        name : str
            The tensor.
        which : tuple of slice
            Which entries of the first axis, and of the second where there is one.

        Raises
        ------
        InputError
            If the file cannot be read any more, or an entry that is asked for is NaN or infinite.
        """
        entry = self.entries[name]
        kind = np.dtype(DTYPES[entry.dtype])
        rows, columns = which
        first, last, _ = rows.indices(entry.shape[0])
        row = math.prod(entry.shape[1:])
        stored = np.memmap(
            self.homes[name], kind, "r", entry.begin + first * row * kind.itemsize, (last - first, *entry.shape[1:])
        )
        some = np.array(stored[:, columns] if stored.ndim > 1 else stored, order="C")
        del stored  # unmapped, so that its pages no longer count
        if entry.dtype == "BF16":
            some = (some.astype(np.uint32) << 16).view(np.float32)
        found = some.astype(np.float64)
        if not np.isfinite(found).all():
            raise InputError(f"tensor {shortened(name)} must be finite, got NaN or infinite entries")
        return found

    def raw(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a tensor as they are, a piece at a time."""
        return raw(self.homes[name], self.entries[name])


def read_shards(sources: Sequence[str | Path]) -> Shards:
    """Read the tables of safetensors files, or of those that an index names, and hold them against each other.

    Parameters
    ----------
    sources : sequence of path
        An index (``model.safetensors.index.json``), or the files; a ``*`` in a name stands for anything.

    Raises
    ------
    InputError
        If a file is missing, cannot be read or is damaged, a tensor is in no file or in two, or has a type that cannot
        be read.
    """
    found = list(dict.fromkeys(path for source in sources for path in _matching(Path(source))))
    if not found:
        raise InputError("weights must be at least one file, got none")
    indices = [path for path in found if path.name.endswith(INDEX)]
    if indices and len(found) > 1:
        raise InputError(f"weights must be one index, or the shards themselves, got {indices[0].name} beside others")
    homes: dict[str, Path] = {}
    wanted = _index(found[0]) if indices else {}
    files = sorted(set(wanted.values())) if indices else found
    for path in files if indices else ():
        if not path.is_file():
            raise InputError(f"weights must have every shard of {found[0].name}, got no {path.name}")
    _require_all_numbers(files)
    entries: dict[str, Entry] = {}
    for path in files:
        for name, entry in _entries(path).items():
            if name in homes:
                raise InputError(
                    f"tensor {shortened(name)} must be in one shard, got it in {homes[name].name} and {path.name}"
                )
            entries[name], homes[name] = entry, path
    for name, path in wanted.items():
        if homes.get(name) != path:
            got = homes[name].name if name in homes else "no shard"
            raise InputError(f"tensor {shortened(name)} must be in {path.name}, as the index says, got it in {got}")
    return Shards(tuple(files), entries, homes)


def _matching(source: Path) -> list[Path]:
    if "*" not in source.name:
        return [source]
    found = sorted(Path(name) for name in glob.glob(str(source)))  # noqa: PTH207 - absolute patterns too
    if not found:
        raise InputError(f"weights must be files that exist, got none called {source}")
    return found


def _entries(path: Path) -> dict[str, Entry]:
    try:
        return file_entries(path)[1]
    except InputError as error:
        raise InputError(f"weights must be safetensors files, got {path.name}: {error}") from None


def _index(path: Path) -> dict[str, Path]:
    need = f"weights must be an index of shards, got {path.name}"
    try:
        if path.stat().st_size > LARGEST_INDEX:
            raise InputError(f"{need} of more than {LARGEST_INDEX >> 20} MiB")
        table: Any = read_json(path.read_bytes(), need).get("weight_map")
    except OSError as error:
        raise InputError(f"{need}: {error.strerror}") from None
    if not isinstance(table, dict) or not table:
        raise InputError(f"{need} without a weight_map")
    for name, file in table.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise InputError(f"{need}, where {shortened(name)} is in {shortened(file)}: no file beside it")
    return {name: path.parent / file for name, file in table.items()}


def _require_all_numbers(files: Sequence[Path]) -> None:
    """Refuse shards 1 and 3 of 3 without the second."""
    numbered = [match for path in files if (match := NUMBERED.fullmatch(path.name))]
    there = {match[0] for match in numbered}
    for match in numbered:
        for number in range(1, min(int(match[3]), 100_000) + 1):
            name = f"{match[0][: match.start(2)]}{number:0{len(match[2])}}-of-{match[3]}{match[4]}"
            if name not in there:
                raise InputError(f"weights must have every shard of {match[3]}, got no {name}")
