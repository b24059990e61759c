"""Packed files written without holding them: finished layers as parts on disk, put together shard by shard."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdqviz.array import Array
from sdqviz.compression.packed_parts import checked_row
from sdqviz.compression.packing import FORMAT, RECIPE, canonical, streamed_checksum
from sdqviz.error import InputError
from sdqviz.methods.method import MethodChoice
from sdqviz.methods.pieces import StoredLayer
from sdqviz.networks.own_weights import WEIGHTS_ALONE
from sdqviz.networks.shards import Shards
from sdqviz.strict_json import read_json
from sdqviz.tensor_file import Entry, Outgoing, file_entries, open_tensors, raw, write_file
from sdqviz.version import __version__

PART, INDEX_NAME = ".layer", "model.sdq.index.json"
"""Ending of a finished layer's file, and the name of what says which packed file holds which layer."""

ROW, BIAS = "row", "bias"
NEED = "a finished layer must have a row"


@dataclasses.dataclass(frozen=True)
class Shape:
    """A layer by its name and the shape of its weight.

    Attributes
    ----------
    name : str
        The layer.
    shape : tuple of int
        Of its weight.
    groups : int
        Of a convolution.
    """

    name: str
    shape: tuple[int, ...]
    groups: int = 1


def write_part(path: Path, layer: StoredLayer, of: Shape) -> None:
    """Write a finished layer, whole or not at all.

    Raises
    ------
    InputError
        If the disk is full.
    """
    row = {
        "name": of.name,
        "shape": list(of.shape),
        "groups": of.groups,
        "stored": {
            key: {"shape": list(part.shape), "bits": part.bits} | ({"runs": True} if part.runs else {})
            for key, part in layer.stored.items()
        },
        "parameters": dict(layer.parameters),
    }
    tensors = {
        key: Outgoing("U8", (len(part.data),), lambda data=part.data: [memoryview(data)])  # type: ignore[misc]
        for key, part in layer.stored.items()
    }
    write_file(path, tensors, {ROW: canonical(row), BIAS: str(layer.with_bias)})


def read_part(path: Path) -> tuple[dict[str, Any], dict[str, Entry], bool] | None:
    """Return a finished layer's row, where its parts lie, and whether its biases are in it; else None."""
    try:
        metadata, entries = file_entries(path)
        return read_json(metadata[ROW], NEED), entries, metadata[BIAS] == str(True)
    except (InputError, KeyError, ValueError):
        return None


def decoded_part(path: Path, method: type[MethodChoice]) -> tuple[Array, Array | None]:
    """Return the weight of a finished layer and, where they are in it, its biases."""
    metadata, tensors = open_tensors(path.read_bytes())
    told = read_json(metadata[ROW], NEED)
    row = checked_row(told, {f"{told['name']}:{key}": stored for key, stored in tensors.items()})
    return method.decode({key: part.unpack() for key, part in row.parts.items()}, row.parameters, row.shape, row.groups)


def write_packed(
    path: Path, parts: Sequence[Path], kept: Mapping[str, Outgoing], head: Mapping[str, Any]
) -> None:  # fmt: skip
    """Put finished layers and the tensors that stay as they are together to a packed file.

    Parameters
    ----------
    path : Path
        The packed file.
    parts : sequence of Path
        The finished layers.
    kept : mapping of str to Outgoing
        All other tensors.
    head : mapping
        The entries ``network``, ``original``, ``numbers``, ``method`` and ``seed`` of its recipe.

    Raises
    ------
    InputError
        If the disk is full, or a layer is no longer there.
    """
    rows: list[dict[str, Any]] = []
    tensors: dict[str, Outgoing] = {}
    for part in parts:
        found = read_part(part)
        if found is None:
            raise InputError(f"output must keep its finished layers until all are done, got {part.name} changed")
        row, entries, _ = found
        rows.append(row)
        for key, entry in entries.items():
            tensors[f"{row['name']}:{key}"] = Outgoing(entry.dtype, entry.shape, pieces_of(part, entry))
    tensors |= {f"kept:{name}": one for name, one in kept.items()}
    recipe = {"format": FORMAT, "version": __version__, **head, "layers": rows, "kept": list(kept)}
    recipe["checksum"] = streamed_checksum(recipe, {name: (one.bytes, one.pieces()) for name, one in tensors.items()})
    write_file(path, tensors, {RECIPE: canonical(recipe)})


def write_shard(
    path: Path, shards: Shards, source: Path, parts: Sequence[Path], taken: Container[str], method: MethodChoice,
    seed: int,
) -> None:  # fmt: skip
    """Put finished layers and the tensors that stay as they are together to a packed file, unless that is there.

    Parameters
    ----------
    path : Path
        The packed file.
    shards : Shards
        All weights.
    source : Path
        The file of them whose tensors these are.
    parts : sequence of Path
        The finished layers whose weights it holds.
    taken : container of str
        Tensors that are stored as layers, here or in another file.
    method, seed
        How they were compressed.

    Raises
    ------
    InputError
        If the disk is full.
    """
    if path.is_file():
        return
    own = [name for name, home in shards.homes.items() if home == source]
    entries = {name: shards.entries[name] for name in own if name not in taken}
    kept = {name: Outgoing(entry.dtype, entry.shape, pieces_of(source, entry)) for name, entry in entries.items()}
    head: dict[str, Any] = {
        "network": {"name": source.name, "seed": None, "note": WEIGHTS_ALONE, "choice": {}},
        "original": _digest(source),
        "numbers": sum(shards.entries[name].size for name in own),
        "method": method.to_dict(),
        "seed": seed,
    }
    write_packed(path, parts, kept, head)


def pieces_of(path: Path, entry: Entry) -> Callable[[], Iterable[bytes]]:
    """Return what gives the bytes of a tensor of a file, anew for each pass over them."""
    return lambda: raw(path, entry)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
