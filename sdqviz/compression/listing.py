"""What a packed file holds, as rows of text: its recipe first, then every layer with its parts."""

from __future__ import annotations

import math

from sdqviz.compression.packed_file import PackedFile
from sdqviz.compression.packed_parts import Part


def head(file: PackedFile) -> list[tuple[str, str]]:
    """Return (what, value) of the whole file: what was compressed, how, its sizes, and that its checksum is right."""
    recipe, network = file.recipe, file.recipe["network"]
    method = dict(recipe["method"])
    fields = ", ".join(f"{key}={value}" for key, value in method.items() if key != "name" and value not in (None, {}))
    header = file.size - file.data_size
    rows = [
        ("network", " ".join(str(network[key]) for key in ("name", "note") if network.get(key))),
        ("its weights, SHA-256", recipe["original"]),
        ("method", f"{method.get('name')} ({fields})"),
        ("seed", str(recipe["seed"])),
        ("written by version", f"{recipe['version']}, format {recipe['format']}"),
        ("bytes", f"{file.size:,}: {file.data_size:,} of tensors, {header:,} of header with the recipe"),
        ("bits per original weight", f"{file.bits_per_weight:.3f}, everything in the file counted"),
        ("checksum", f"ok, SHA-256 {recipe['checksum']}"),
    ]
    return rows


def table(file: PackedFile) -> list[tuple[str, ...]]:
    """Return the titles and a row for each stored part, and one for each kept tensor."""
    rows: list[tuple[str, ...]] = [("layer", "shape", "part", "stored as", "bytes", "bits/weight")]
    for row in file.rows:
        weights = math.prod(row.shape)
        for place, (key, part) in enumerate(row.parts.items()):
            about = (row.name, _times(row.shape)) if place == 0 else ("", "")
            size = len(part.data)
            rows.append((*about, key, _stored(part), f"{size:,}", f"{8 * size / weights:.3f}"))
    for name, stored in file.kept.items():
        rows.append((name, _times(stored.shape), "kept", stored.dtype, f"{len(stored.data):,}", ""))
    return rows


def _stored(part: Part) -> str:
    if part.runs:
        return f"{math.prod(part.shape):,} flags, by their runs"
    kind = "float32" if part.bits == 32 else f"{part.bits} bit{'s' if part.bits > 1 else ''}"
    return f"{_times(part.shape) or '1'} × {kind}"


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
