"""Networks by methods that need data, layer after layer to disk: what is done is kept, and let go of in memory."""

from __future__ import annotations

import dataclasses
import functools
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.compression.inputs import calibration_inputs, checked_seed
from sdqviz.compression.packed_shard import PART, Shape, decoded_part, read_part, write_packed, write_part
from sdqviz.compression.packing import kept_names, kept_values
from sdqviz.error import InputError
from sdqviz.kernels.heap import use_memory_again
from sdqviz.methods.method import CompressedLayer, LeftAlone, MethodChoice, NewTensors, Reduction, Task
from sdqviz.methods.pieces import joined
from sdqviz.networks.network import Network
from sdqviz.progress import Progress, ShouldStop, stop_if
from sdqviz.strict_json import canonical
from sdqviz.tensor_file import BLOCK, DTYPES, Outgoing, replacing
from sdqviz.version import __version__

PLAN = "plan.json"


@dataclasses.dataclass(frozen=True)
class Written:
    """A network that was compressed to a file.

    Attributes
    ----------
    path : Path
        The packed file.
    layers : tuple of str
        The layers in it.
    left_alone : mapping of str to str
        Layers that were not compressed, with the reason.
    reused : int
        Layers that an earlier run had finished.
    bytes : int
        Of the file.
    seconds : float
        Of this run.
    """

    path: Path
    layers: tuple[str, ...]
    left_alone: Mapping[str, str]
    reused: int
    bytes: int
    seconds: float


def compress_to_file(
    network: Network,
    method: MethodChoice,
    output: str | Path,
    calibration: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    announce: Callable[[Task], None] | None = None,
) -> Written:
    """Compress a network to a packed file, each layer written as soon as it is done; levels are those of `compress`.

    What was killed or stopped goes on from its last layer when it is asked for again: the data pass what was finished,
    and nothing of that is compressed anew. Of layers that the data have passed nothing stays in memory; activations
    wait on disk where they are many. No errors are measured.

    Parameters
    ----------
    network, method, calibration, seed, progress, should_stop
        As for `compress`.
    output : path
        The packed file. Until it is whole, its layers wait in a folder beside it, whose name ends in ``.unfinished``.
    announce : callable, optional
        Called with what is to be done, and what an earlier run has done of it, before the work begins; whatever it
        raises ends the run.

    Raises
    ------
    InputError
        If the choice does not fit the network, the method cuts channels out, the folder is of another run, or the disk
        is full.
    """
    begun, seed, path = time.monotonic(), checked_seed(seed), Path(output)
    if method.trains:
        raise InputError(f"method must go layer by layer to be written so, got {method.name}, which trains all")
    inputs = calibration_inputs(network, calibration, seed)
    folder = path.with_name(path.name + ".unfinished")
    _open(folder, {"network": network.fingerprint, "method": method.to_dict(), "seed": seed, "version": __version__})
    parts = {found[0]["name"]: part for part in _parts(folder) if (found := read_part(part)) is not None}
    reused = len(parts)
    finished = {name: lambda part=part: decoded_part(part, type(method)) for name, part in parts.items()}
    task = Task(network.layers_on_demand, seed, progress, should_stop, network, inputs, finished)  # type: ignore[arg-type]
    if announce is not None:
        announce(task)
    use_memory_again()
    left_alone: dict[str, str] = {}
    tensors: dict[str, Array] = {}
    for item in method.compress_layers(task):
        stop_if(should_stop)
        if isinstance(item, CompressedLayer) and item.layer.name not in parts:
            parts[item.layer.name] = folder / f"{len(parts):06d}{PART}"
            write_part(parts[item.layer.name], joined([item], None), _shape(item))
        elif isinstance(item, LeftAlone):
            left_alone[item.name] = item.because
        elif isinstance(item, NewTensors):
            tensors |= {f"{item.name}.{key}" if item.name else key: value for key, value in item.tensors.items()}
        elif isinstance(item, Reduction):
            raise InputError(f"method must go layer by layer to be written so, got {method.name}, which cuts channels")
        del item  # its weights, before those of the next are there
    write_packed(
        path, list(parts.values()), _kept(network, list(parts.values()), tensors), _head(network, method, seed)
    )
    shutil.rmtree(folder)
    size = path.stat().st_size
    return Written(path, tuple(parts), left_alone, reused, size, time.monotonic() - begun)


def _open(folder: Path, told: Mapping[str, Any]) -> None:
    plan, text = folder / PLAN, canonical(told)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"output must be in a folder that can be written, got {folder}: {error.strerror}") from None
    if plan.is_file() and plan.read_text("utf-8") != text:
        raise InputError(f"output must be a new file or one of the same run, got layers of another in {folder}")
    with replacing(plan) as write:
        write(text.encode())


def _shape(item: CompressedLayer) -> Shape:
    return Shape(item.layer.name, item.layer.shape, item.layer.groups)


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{PART}"))


def _head(network: Network, method: MethodChoice, seed: int) -> dict[str, Any]:
    choice, note = dict(network.choice), network.note
    return {
        "network": {"name": network.name, "seed": network.seed, "note": note, "choice": choice},
        "original": network.fingerprint,
        "numbers": sum(network.module.state_dict()[name].numel() for name in kept_names(network.module, set())),
        "method": method.to_dict(),
        "seed": seed,
    }


def _kept(network: Network, parts: list[Path], changed: Mapping[str, Array]) -> dict[str, Outgoing]:
    """Return the tensors that stay as they are, or have new values but no levels."""
    replaced: set[str] = set()
    for part in parts:
        found = read_part(part)
        if found is not None:
            name = found[0]["name"]
            replaced |= {f"{name}.weight"} | ({f"{name}.bias"} if found[2] else set())
    names = {np.dtype(kind).str[1:]: dtype for dtype, kind in DTYPES.items() if dtype != "BF16"}
    kept: dict[str, Outgoing] = {}
    for name in kept_names(network.module, replaced):
        values = kept_values(network.module, name) if name not in changed else changed[name]
        kind = values.dtype.str[1:]
        if kind not in names:
            raise InputError(f"tensor {name} must hold real numbers to be saved, got {values.dtype}")
        size = math.prod(values.shape) * values.itemsize
        pieces = functools.partial(_pieces, network, name, changed, size)
        kept[name] = Outgoing(names[kind], tuple(values.shape), pieces)
    return kept


def _pieces(network: Network, name: str, changed: Mapping[str, Array], size: int) -> Iterator[memoryview]:
    """Yield the bytes of a tensor that stays, unless it is another by now; a mapped one is let go of again."""
    from sdqviz.networks.mapped import let_go

    own = np.ascontiguousarray(changed[name] if name in changed else kept_values(network.module, name))
    data = own.reshape(-1).view(np.uint8).data
    for start in range(0, size if own.nbytes == size else 0, BLOCK):
        yield data[start : start + BLOCK]
    let_go(network.module.state_dict(keep_vars=True)[name])
