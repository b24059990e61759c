"""Packed shards back to shards of plain weights, a tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from sdqviz.compression.packed_file import PackedFile, open_file
from sdqviz.compression.packed_parts import Row
from sdqviz.error import InputError
from sdqviz.networks.shards import INDEX, LARGEST_INDEX
from sdqviz.strict_json import read_json, write_json
from sdqviz.tensor_file import Outgoing, replacing, write_file


def export_shards(source: Path, to: Path) -> int:
    """Write the dequantized weights of packed shards: a safetensors file for each, and their index.

    Parameters
    ----------
    source : Path
        ``model.sdq.index.json``, as `compress_shards` wrote it.
    to : Path
        ``model.safetensors.index.json`` in a folder that exists; layers are float32, all others as they were.

    Returns
    -------
    int
        Bytes of all shards.

    Raises
    ------
    InputError
        If one of the files is missing or damaged, or the disk is full.
    """
    if not (source.name.endswith(INDEX) and to.name.endswith(f".safetensors{INDEX}")):
        raise InputError(f"packed shards must be exported from index to index (*{INDEX}), got {source.name}, {to.name}")
    if not to.parent.is_dir():
        raise InputError(f"to must be in a folder that exists, got {to.parent}")
    need = f"{source.name} must be an index of packed shards"
    if not source.is_file() or source.stat().st_size > LARGEST_INDEX:
        raise InputError(f"{need}, got none that can be read")
    packed = read_json(source.read_bytes(), need).get("weight_map")
    if not isinstance(packed, dict) or not all(isinstance(n, str) and Path(n).name == n for n in packed.values()):
        raise InputError(f"{need}, got one without a weight_map")
    homes: dict[str, str] = {}
    total = 0
    for name in sorted(set(packed.values())):
        found = open_file(source.parent / name)
        tensors: dict[str, Outgoing] = {}
        for row in found.rows:
            tensors[f"{row.name}.weight"] = Outgoing("F32", row.shape, _decoded(found, row, bias=False))
            if row.parameters.get("biases") == "quantized" or row.parameters.get("bias") is True:
                tensors[f"{row.name}.bias"] = Outgoing("F32", row.shape[:1], _decoded(found, row, bias=True))
        for key, stored in found.kept.items():
            tensors[key] = Outgoing(stored.dtype, stored.shape, lambda data=stored.data: [data])  # type: ignore[misc]
        path = to.parent / f"{name.removesuffix('.sdq')}.safetensors"
        write_file(path, tensors, {"format": "pt"})
        homes |= dict.fromkeys(tensors, path.name)
        total += path.stat().st_size
    with replacing(to) as write:
        write(write_json({"metadata": {"total_size": total}, "weight_map": homes}, indent=1).encode())
    return total


def _decoded(file: PackedFile, row: Row, bias: bool) -> Callable[[], Iterable[bytes]]:
    def pieces() -> Iterable[bytes]:
        weight, biases = file.decode_layer(row)
        values = biases if bias else weight
        if values is None:
            raise InputError(f"{file.name} must hold the biases of layer {row.name}, got none")
        yield values.astype(np.float32).tobytes()

    return pieces
