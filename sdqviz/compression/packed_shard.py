"""Packed files written without holding them: finished layers as parts on disk, put together shard by shard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from sdqviz.compression.packing import FORMAT, RECIPE, canonical, streamed_checksum
from sdqviz.error import InputError
from sdqviz.methods.method import MethodChoice
from sdqviz.methods.pieces import StoredLayer
from sdqviz.networks.own_weights import WEIGHTS_ALONE
from sdqviz.networks.shards import Shards
from sdqviz.tensor_file import Entry, Outgoing, file_entries, raw, write_file
from sdqviz.version import __version__

PART, INDEX_NAME = ".layer", "model.sdq.index.json"
"""Ending of a finished layer's file, and the name of what says which packed file holds which layer."""

ROW = "row"


def write_part(path: Path, layer: StoredLayer, name: str, shape: Sequence[int]) -> None:
    """Write a finished layer, whole or not at all.

    Raises
    ------
    InputError
        If the disk is full.
    """
    row = {
        "name": name,
        "shape": list(shape),
        "groups": 1,
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
    write_file(path, tensors, {ROW: canonical(row)})


def read_part(path: Path) -> tuple[dict[str, Any], dict[str, Entry]] | None:
    """Return a finished layer's row of the recipe and where its parts lie; None if it is not finished."""
    try:
        metadata, entries = file_entries(path)
        return json.loads(metadata[ROW]), entries
    except (InputError, KeyError, ValueError):
        return None


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
    rows: list[dict[str, Any]] = []
    tensors: dict[str, Outgoing] = {}
    for part in parts:
        found = read_part(part)
        if found is None:
            raise InputError(f"output must keep its finished layers until all are done, got {part.name} changed")
        row, entries = found
        rows.append(row)
        for key, entry in entries.items():
            tensors[f"{row['name']}:{key}"] = Outgoing(entry.dtype, entry.shape, _pieces(part, entry))
    own = [name for name, home in shards.homes.items() if home == source]
    kept = [name for name in own if name not in taken]
    for name in kept:
        entry = shards.entries[name]
        tensors[f"kept:{name}"] = Outgoing(entry.dtype, entry.shape, _pieces(source, entry))
    recipe: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "network": {"name": source.name, "seed": None, "note": WEIGHTS_ALONE, "choice": {}},
        "original": _digest(source),
        "numbers": sum(shards.entries[name].size for name in own),
        "method": method.to_dict(),
        "seed": seed,
        "layers": rows,
        "kept": kept,
    }
    recipe["checksum"] = streamed_checksum(recipe, {name: (one.bytes, one.pieces()) for name, one in tensors.items()})
    write_file(path, tensors, {RECIPE: canonical(recipe)})


def _pieces(path: Path, entry: Entry) -> Callable[[], Iterable[bytes]]:
    return lambda: raw(path, entry)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
