"""Networks larger than memory, by methods that look at no data: tensor after tensor from disk to disk."""

from __future__ import annotations

import dataclasses
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdqviz.compression.inputs import checked_seed
from sdqviz.compression.packed_shard import INDEX_NAME, NEED, PART, Shape, read_part, write_part, write_shard
from sdqviz.error import InputError
from sdqviz.kernels.heap import use_memory_again
from sdqviz.methods.method import CompressedLayer, MethodChoice, Task
from sdqviz.methods.pieces import Cut, InPieces, StoredLayer, joined
from sdqviz.networks.layer import Layer
from sdqviz.networks.own_weights import layers_of
from sdqviz.networks.shards import Shards, read_shards
from sdqviz.progress import Progress, ShouldStop, report, stop_if
from sdqviz.strict_json import canonical, number, read_json, spelled
from sdqviz.tensor_file import replacing
from sdqviz.version import __version__

WORK, PLAN, REPORT = "unfinished", "plan.json", "report.json"
"""In the output folder: finished tensors of unfinished shards, what is being done, and what came out."""

WHOLE_BYTES = 120
"""Bytes a weight takes on its way where a layer cannot be cut in pieces."""

PIECE_BYTES = 96
"""The same of a piece, with what the heap keeps of the pieces before it; 26 to 79 were measured."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What compressing tensor by tensor will take, from one piece of the largest layer.

    Attributes
    ----------
    layers : int
        How many there are, and of those done.
    read, written : int
        Bytes of all tensors, and about as many of the result.
    largest : int
        Bytes of the largest tensor in its file.
    memory : int
        Bytes the work takes at most, beside the process itself.
    seconds : float
        About how long.
    """

    layers: int
    read: int
    written: int
    largest: int
    memory: int
    seconds: float

    def __str__(self) -> str:
        """Say it in one line."""
        sizes = [f"{size / 2**20:,.1f} MiB" for size in (self.read, self.written, self.memory, self.largest)]
        return (
            f"{self.layers} layers, {sizes[0]} to read, about {sizes[1]} to write, about {sizes[2]} of memory beside "
            f"the process (largest tensor {sizes[3]}), about {self.seconds:.0f} s"
        )


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """What became of one layer.

    Attributes
    ----------
    name : str
        The layer.
    shape : tuple of int
        Of its weight.
    bytes : int
        Of all its stored parts.
    bits_per_weight, weight_error, seconds : float
        Their bits by the weights, ‖W − Q‖_F/‖W‖_F, and the time it took.
    """

    name: str
    shape: tuple[int, ...]
    bytes: int
    bits_per_weight: float
    weight_error: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Sharded:
    """What a network was compressed to, tensor by tensor.

    Attributes
    ----------
    index : Path
        The file that says which packed file holds which layer or tensor.
    layers : tuple of LayerRow
        In order.
    bytes : int
        Of all packed files.
    bits_per_weight : float
        Of everything, by all original numbers.
    seconds : float
        Of this run; what an earlier one had finished took none.
    """

    index: Path
    layers: tuple[LayerRow, ...]
    bytes: int
    bits_per_weight: float
    seconds: float


def compress_shards(
    sources: Sequence[str | Path] | str | Path,
    method: MethodChoice,
    output: str | Path,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    announce: Callable[[Estimate], None] | None = None,
) -> Sharded:
    """Compress weights on disk tensor by tensor, to packed files in a folder; levels are those of `compress`.

    A tensor of two or four axes is a layer, as for `sdqviz.networks.own_weights.read_weights`. Each is written as soon
    as it is done: what was killed or stopped goes on from there when it is asked for again.

    Parameters
    ----------
    sources : path or sequence of paths
        Safetensors files, or the index of a sharded network (``model.safetensors.index.json``).
    method : MethodChoice
        A method that looks at no data, and at one layer at a time.
    output : path
        A folder, new or of the same run. It gets a packed file for each source (``*.sdq``), and
        ``model.sdq.index.json``.
    seed : int
        The only source of randomness.
    progress, should_stop
        As for `compress`.
    announce : callable, optional
        Called with the `Estimate` before the work begins.

    Returns
    -------
    Sharded

    Raises
    ------
    InputError
        If a source is missing, damaged or inconsistent, the method looks beyond a layer, the folder belongs to another
        run, or the disk has not enough room.
    """
    seed = checked_seed(seed)
    begun = time.monotonic()
    if method.beyond_layer:
        raise InputError(f"method must look at one layer at a time for weights on disk, got {method.beyond_layer}")
    shards = read_shards([sources] if isinstance(sources, str | Path) else sources)
    run = _Run(shards, method, Path(output), seed, should_stop)
    for key, value in method.to_dict().items():
        for name in value if key.endswith("_by_layer") and isinstance(value, dict) else ():
            if name not in {layer.path for layer in run.layers}:
                raise InputError(f"{key} must name layers of the network, got {name!r}")
    finished = run.open()
    if finished is not None:
        return finished
    use_memory_again()  # of the arrays of the piece before
    estimate = run.estimate()
    if announce is not None:
        announce(estimate)
    run.require_room(estimate)
    total, done = sum(layer.size for layer in run.layers), 0
    for path in shards.files:
        own = [layer for layer in run.layers if layer.home == path]
        for layer in own:
            stop_if(should_stop)
            report(progress, done, total, layer.path)
            run.do(layer)
            done += layer.size
        write_shard(run.packed(path), shards, path, [run.part(layer) for layer in own], run.taken, method, seed)
        for layer in own:
            run.part(layer).unlink(missing_ok=True)
    report(progress, total, total, "done")
    return run.close(time.monotonic() - begun)


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    """A layer on disk."""

    number: int
    path: str
    weight: str
    bias: str | None
    shape: tuple[int, ...]
    home: Path

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class _Run:
    """One network on its way from shards to a folder."""

    def __init__(
        self, shards: Shards, method: MethodChoice, folder: Path, seed: int, should_stop: ShouldStop | None
    ) -> None:  # fmt: skip
        self.shards, self.method, self.folder, self.seed, self.should_stop = shards, method, folder, seed, should_stop
        self.layers = [
            _Found(number, path, weight, bias, shards.entries[weight].shape, shards.homes[weight])
            for number, (path, weight, bias) in enumerate(layers_of(shards.entries))
        ]

        self.taken = {layer.weight for layer in self.layers}
        if method.to_dict().get("biases") == "quantized":
            self.taken |= {layer.bias for layer in self.layers if layer.bias is not None}

    # -- the folder ---------------------------------------------------------------------------

    def open(self) -> Sharded | None:
        """Make the folder, or go on in it; return what came out if all is done."""
        told = {
            "weights": self.shards.digest, "method": self.method.to_dict(), "seed": self.seed, "version": __version__,
        }  # fmt: skip
        plan = self.folder / PLAN
        if plan.is_file():
            if plan.read_text("utf-8") != canonical(told):
                raise InputError(f"output must be a new folder or one of the same run, got {self.folder} of another")
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise InputError(f"output must be a new folder or one of the same run, got {self.folder} with other files")
        try:
            (self.folder / WORK).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"output must be a folder that can be made, got {self.folder}: {error.strerror}") from None
        self._write(plan, told)
        return self._read_report() if (self.folder / REPORT).is_file() else None

    def _write(self, path: Path, value: Any) -> None:
        with replacing(path) as write:
            write(canonical(spelled(value)).encode())

    def part(self, layer: _Found) -> Path:
        """Return where a finished layer waits."""
        return self.folder / WORK / f"{layer.number}{PART}"

    def row(self, layer: _Found) -> Path:
        """Return where is told what became of a layer."""
        return self.folder / WORK / f"{layer.number}.json"

    def packed(self, source: Path) -> Path:
        """Return the packed file of a source."""
        return self.folder / f"{source.name.removesuffix('.safetensors')}.sdq"

    def require_room(self, estimate: Estimate) -> None:
        """Refuse a disk that is too small, before the work and not in the midst of it."""
        free = shutil.disk_usage(self.folder).free
        if estimate.written > free:
            raise InputError(
                f"output must have about {estimate.written / 2**20:,.0f} MiB of room, got {free / 2**20:,.0f} MiB free"
            )

    def close(self, seconds: float) -> Sharded:
        """Write the index and the report, and let go of what was only needed on the way."""
        homes = {
            **{layer.path: self.packed(layer.home).name for layer in self.layers},
            **{name: self.packed(home).name for name, home in self._kept().items()},
        }
        size = sum(self.packed(path).stat().st_size for path in self.shards.files)
        self._write(self.folder / INDEX_NAME, {"metadata": {"total_size": size}, "weight_map": homes})
        rows = [read_json(self.row(layer).read_bytes(), NEED) for layer in self.layers]
        self._write(self.folder / REPORT, {"layers": rows, "bytes": size, "seconds": seconds})
        shutil.rmtree(self.folder / WORK)
        return self._read_report()

    def _kept(self) -> dict[str, Path]:
        return {name: home for name, home in self.shards.homes.items() if name not in self.taken}

    def _read_report(self) -> Sharded:
        told = read_json((self.folder / REPORT).read_bytes(), "a report must be")
        rows = tuple(_row(one) for one in told["layers"])
        numbers = sum(entry.size for entry in self.shards.entries.values())
        return Sharded(
            self.folder / INDEX_NAME, rows, told["bytes"], 8 * told["bytes"] / numbers, float(told["seconds"])
        )

    # -- a layer ------------------------------------------------------------------------------

    def do(self, layer: _Found) -> None:
        """Compress a layer unless that is done, and write it."""
        merged = self.packed(layer.home).is_file()
        if self.row(layer).is_file() and (merged or read_part(self.part(layer)) is not None):
            return
        begun = time.perf_counter()
        stored = self.stored(layer)
        seconds = time.perf_counter() - begun
        write_part(self.part(layer), stored, Shape(layer.path, layer.shape))
        error = math.sqrt(stored.square_error / stored.square) if stored.square > 0 else math.nan
        row = LayerRow(layer.path, layer.shape, stored.bytes, 8 * stored.bytes / layer.size, error, seconds)
        self._write(self.row(layer), dataclasses.asdict(row))

    def stored(self, layer: _Found) -> StoredLayer:
        """Compress a layer, in pieces where the method can."""
        method = self.method.for_layer(layer.path)
        cut = method.cut(layer.shape) if isinstance(method, InPieces) else None
        if cut is None or not isinstance(method, InPieces):
            piece = self._layer(layer)
            return joined(_layers_of(method, piece, self.seed), None)
        looks = [method.look(piece, self.seed) for piece in self._pieces(layer, cut)]
        do = method.settled(looks, self.seed)
        return joined((do(piece) for piece in self._pieces(layer, cut)), cut)

    def _pieces(self, layer: _Found, cut: Cut) -> Iterator[Layer]:
        for which in cut.slices(layer.shape):
            stop_if(self.should_stop)
            yield self._layer(layer, which)

    def _layer(self, layer: _Found, which: tuple[slice, slice] = (slice(None), slice(None))) -> Layer:
        # as floats of 32 bits first, as any network read from files holds them
        weight = self.shards.values(layer.weight, which).astype(np.float32).astype(float)
        bias = None if layer.bias is None else self.shards.values(layer.bias, (which[0], slice(None)))
        kind = "Linear" if weight.ndim == 2 else "Conv2d"
        return Layer(layer.path, kind, weight, bias, 1)

    def estimate(self) -> Estimate:
        """Compress a piece of the largest layer, and reckon from there."""
        largest = max(self.layers, key=lambda layer: layer.size)
        method = self.method.for_layer(largest.path)
        cut = method.cut(largest.shape) if isinstance(method, InPieces) else None
        along = Cut("rows", max(1, (1 << 16) // math.prod(largest.shape[1:])), True) if cut is None else cut
        piece = self._layer(largest, next(along.slices(largest.shape)))
        list(_layers_of(method, piece, self.seed))  # compiles what has to be
        begun = time.perf_counter()
        stored = joined(_layers_of(method, piece, self.seed), None)
        passes = 1 if cut is None else 2
        seconds = passes * (time.perf_counter() - begun) / piece.weight.size
        total = sum(layer.size for layer in self.layers)
        left = sum(layer.size for layer in self.layers if not self.row(layer).is_file())
        entries = self.shards.entries
        kept = sum(entries[name].end - entries[name].begin for name in self._kept())
        bytes_per_weight = stored.bytes / piece.weight.size
        width = entries[largest.weight]
        memory = WHOLE_BYTES * largest.size
        if cut is not None:
            packed = 2 * bytes_per_weight * largest.size
            memory = int(packed + PIECE_BYTES * piece.weight.size + (width.end - width.begin) * (cut.axis == "columns"))
        return Estimate(
            layers=len(self.layers),
            read=sum(entry.end - entry.begin for entry in entries.values()),
            written=int(bytes_per_weight * total) + kept,
            largest=max(entry.end - entry.begin for entry in entries.values()),
            memory=memory,
            seconds=seconds * left,
        )


def _row(told: Mapping[str, Any]) -> LayerRow:
    """Rebuild a row from what a file has of it."""
    figures = {name: number(told[name]) for name in ("bits_per_weight", "weight_error", "seconds")}
    return LayerRow(**{**told, "shape": tuple(told["shape"]), **figures})


def _layers_of(method: MethodChoice, layer: Layer, seed: int) -> Iterator[CompressedLayer]:
    for item in method.compress_layers(Task((layer,), seed)):
        if isinstance(item, CompressedLayer):
            yield item
