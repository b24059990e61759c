"""``sdqviz train``, ``compress``, ``show`` and ``export``: one network, and the file it becomes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdqviz.cli.meter import Meter, interruptible
from sdqviz.cli.settings import choice_from, network_class, require_writable
from sdqviz.cli.text import aligned, report_text
from sdqviz.error import InputError
from sdqviz.strict_json import spelled, write_json

if TYPE_CHECKING:
    from sdqviz.compression.block_by_block import Written
    from sdqviz.compression.compress import Compression
    from sdqviz.methods.method import MethodChoice, Spread, Task
    from sdqviz.networks.catalogue.network_choice import NetworkChoice
    from sdqviz.networks.network import Network
    from sdqviz.progress import ShouldStop

Weights = Annotated[
    list[Path] | None,
    typer.Option(
        help="A safetensors file of weights alone, in place of a network; or shards (a.safetensors b.safetensors), "
        "or model.safetensors.index.json, which go from disk to disk tensor by tensor. With --by-layer: the weights of "
        "--network my_file.py:make, of which no more than a layer is in memory."
    ),
]

ByLayer = Annotated[
    bool,
    typer.Option(
        "--by-layer",
        help="Write each layer to --output as it is done, without a report; after a kill it goes on from there.",
    ),
]

LARGEST_WHOLE = 1 << 30
"""Bytes of a file of weights above which it stays on disk."""


def train(
    network: Annotated[str, typer.Argument(help="Name of a catalogue network, for example mnist-fnn.")],
    seed: Annotated[int, typer.Option(help="Seed of the weights and of the order of the images.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A field of the network, for example images=cifar10."),
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Where to write; the cache folder by default.")] = None,
) -> None:
    """Train a network of the catalogue; an interrupted run goes on from its last epoch."""
    from sdqviz.networks import training
    from sdqviz.networks.catalogue import NETWORKS

    choice = choice_from(NETWORKS[network], [f"seed={seed}", *(settings or [])])
    with interruptible() as should_stop, Meter() as meter:
        path = training.train(choice, meter, should_stop, folder)
    typer.echo(str(path))


def compress(
    network: Annotated[
        str, typer.Option(help="Name of a catalogue network, or your own: my_file.py:make, a function of a file.")
    ] = "mnist-fnn",
    method: Annotated[str, typer.Option(help="Name of a method.")] = "frame",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A field of the method, as often as needed; bits_by_layer.X=2."
        ),
    ] = None,
    network_seed: Annotated[int, typer.Option(help="Which training run of the network.")] = 0,
    network_settings: Annotated[
        list[str] | None,
        typer.Option("--network-set", metavar="KEY=VALUE", help="A field of the network, for example width=4."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the compression.")] = 0,
    calibration: Annotated[int, typer.Option(min=0, help="Inputs on which errors are measured.")] = 512,
    weights: Weights = None,
    more: Annotated[list[Path] | None, typer.Argument(help="Further shards of --weights.")] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="A state dict (*.safetensors, *.pt, *.pth) for the network, in place of its own."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="An .npz file of images and labels to measure and test with.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the packed network here (*.sdq; of shards: a folder).")
    ] = None,
    by_layer: ByLayer = False,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Scheduler of a running Dask cluster whose workers walk the neurons."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a table.")] = False,
) -> None:
    """Compress a trained network, or weights of one's own, and print what that did to it."""
    from sdqviz.methods import METHODS

    how = choice_from(METHODS[method], settings or [])
    shards = _shards(weights or [], more or [], alone=state is None and (data is None or by_layer))
    if by_layer and output is None:
        raise InputError("output must be given where layers are written as they are done, got none")
    if dask is not None and (by_layer or shards):
        raise InputError("dask must be given for a network that is compressed in memory, got one on disk")
    if by_layer and shards and output is not None:
        _from_shards(network, shards, how, data, output, calibration, seed)
        return
    which = choice_from(network_class(network), [f"seed={network_seed}", *(network_settings or [])])
    if _on_disk(shards):
        _tensor_by_tensor(shards, how, output, seed, as_json)
        return
    if output is not None:
        require_writable(output)  # before the work, not after it
    from sdqviz.compression import compress as engine  # only now: the choices above are checked without loading torch

    with interruptible() as should_stop, Meter() as meter:
        loaded = _loaded(which, shards, state, data, meter, should_stop)
        inputs = None if loaded.dataset is None and calibration else calibration  # else: its example input, if any
        if by_layer and output is not None:
            from sdqviz.compression.block_by_block import compress_to_file

            written = compress_to_file(loaded, how, output, inputs, seed, meter, should_stop, _tells(how, output))
        else:
            with _cluster(dask, should_stop) as spread:
                result = engine.compress(loaded, how, inputs, seed, meter, should_stop, spread)
    if by_layer:
        _tell_written(written)
        return
    _keep_and_tell(result, output, as_json)


def _keep_and_tell(result: Compression, output: Path | None, as_json: bool) -> None:
    if output is not None:
        result.save(output)
    if as_json:
        typer.echo(write_json(spelled(result.report.to_dict()), indent=1))
    else:
        typer.echo(report_text(result.report))
        if output is not None:
            typer.echo(f"written: {output}, {output.stat().st_size:,} bytes")


def _loaded(
    which: NetworkChoice, shards: Sequence[Path], state: Path | None, data: Path | None, meter: Meter,
    should_stop: ShouldStop,
) -> Network:  # fmt: skip
    from sdqviz.networks import own_weights

    if shards:
        found = own_weights.read_weights(shards[0])
    elif state is not None:
        found = own_weights.network(which, state)
    else:
        found = which.load(progress=meter, should_stop=should_stop)
    return found if data is None else found.with_data(own_weights.read_dataset(data))


def _from_shards(
    network: str, shards: Sequence[Path], method: MethodChoice, data: Path | None, output: Path, calibration: int,
    seed: int,
) -> None:  # fmt: skip
    """Compress a network layer by layer whose weights stay on disk."""
    if ".py:" not in network:
        raise InputError(f"network must be a function of a file for weights that stay on disk, got {network}")
    require_writable(output)
    from sdqviz.compression.block_by_block import compress_to_file
    from sdqviz.networks import own_weights
    from sdqviz.networks.module_file import on_disk
    from sdqviz.networks.shards import read_shards

    with interruptible() as should_stop, Meter() as meter:
        loaded = on_disk(network, read_shards(shards))
        loaded = loaded if data is None else loaded.with_data(own_weights.read_dataset(data))
        inputs = None if loaded.dataset is None and calibration else calibration
        written = compress_to_file(loaded, method, output, inputs, seed, meter, should_stop, _tells(method, output))
    _tell_written(written)


def _tells(method: MethodChoice, output: Path) -> Callable[[Task], None]:
    """Return what says, before the work, what it will take; a disk that is too small is refused."""
    from sdqviz.experiments.by_layer import estimate

    def tell(task: Task) -> None:
        found = estimate(task, method)
        typer.echo(str(found), err=True)
        found.require_room(output.parent)

    return tell


def _tell_written(written: Written) -> None:
    told = f"{len(written.layers)} layers, {written.reused} of them from before; {written.seconds:.0f} s"
    typer.echo("\n".join([*(f"{name}: {why}" for name, why in written.left_alone.items()), told]))
    typer.echo(f"written: {written.path}, {written.bytes:,} bytes")


def _shards(weights: Sequence[Path], more: Sequence[Path], *, alone: bool) -> list[Path]:
    """Return the files of weights, which must be all that is given of a network."""
    if more and not weights:
        raise InputError(f"a file of weights must come after --weights, got {more[0]} alone")
    if weights and not alone:
        raise InputError("weights must be given without state or data: weights alone have no forward pass, got both")
    return [*weights, *more]


@contextlib.contextmanager
def _cluster(address: str | None, should_stop: ShouldStop) -> Iterator[Spread | None]:
    """Give the cluster at an address, and say afterwards how many bytes were moved; None without an address."""
    if address is None:
        yield None
        return
    from sdqviz.experiments.cluster import Cluster

    with Cluster(address, should_stop) as cluster:
        yield cluster
        typer.echo(str(cluster), err=True)


def _on_disk(shards: Sequence[Path]) -> bool:
    """Whether weights are to stay on disk: shards, an index, or a file that is not read whole."""
    from sdqviz.networks.shards import INDEX

    if len(shards) != 1:
        return bool(shards)
    return shards[0].name.endswith(INDEX) or "*" in shards[0].name or _size(shards[0]) > LARGEST_WHOLE


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # whoever reads it says so


def _tensor_by_tensor(
    shards: Sequence[Path], method: MethodChoice, output: Path | None, seed: int, as_json: bool
) -> None:  # fmt: skip
    from sdqviz.compression.tensor_by_tensor import compress_shards

    if output is None:
        raise InputError("output must be a folder for weights that stay on disk, got none")
    with interruptible() as should_stop, Meter() as meter:
        found = compress_shards(
            shards, method, output, seed, meter, should_stop, lambda estimate: typer.echo(f"{estimate}", err=True)
        )
    if as_json:
        typer.echo(write_json(spelled(dataclasses.asdict(found) | {"index": str(found.index)}), indent=1))
        return
    rows: list[Sequence[str]] = [("layer", "shape", "bits/weight", "‖W−Q‖/‖W‖", "seconds")]
    for one in found.layers:
        shape = "×".join(map(str, one.shape))
        rows.append((one.name, shape, f"{one.bits_per_weight:.3f}", f"{one.weight_error:.3g}", f"{one.seconds:.2f}"))
    typer.echo("\n".join(aligned(rows)))
    typer.echo(f"{found.bits_per_weight:.3f} bits per weight, everything counted; {found.seconds:.0f} s")
    typer.echo(f"written: {found.index}, {found.bytes:,} bytes in all")


def show(
    file: Annotated[Path, typer.Argument(help="A packed network (*.sdq).")],
    test: Annotated[bool, typer.Option("--test", help="Rebuild the network and test it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the recipe as JSON.")] = False,
) -> None:
    """Show what a packed file holds: its recipe, its sizes, every stored part; a damaged file is refused."""
    from sdqviz.compression import listing, packed_file

    found = packed_file.read(file)
    if as_json:
        typer.echo(write_json(found.recipe, indent=1))
        return
    rows: list[Sequence[str]] = [*listing.head(found)]
    if test:
        network = found.rebuild()
        tested = "this network comes without data" if network.dataset is None else f"{network.accuracy():.2%}"
        rows.append(("test accuracy", tested))
    typer.echo("\n".join([*aligned(rows), "", *aligned(listing.table(found))]))


def export(
    file: Annotated[Path, typer.Argument(help="A packed network (*.sdq).")],
    to: Annotated[Path, typer.Option("--to", help="What to write: weights.safetensors or model.onnx.")],
) -> None:
    """Write the dequantized weights as safetensors, or the network as ONNX, by the ending of the file's name.

    The index of packed shards gives shards: --to folder/model.safetensors.index.json.
    """
    if file.name.endswith(".index.json") or to.name.endswith(".index.json"):
        from sdqviz.compression.export_shards import export_shards

        typer.echo(f"written: {to}, {export_shards(file, to):,} bytes in all")
        return
    if to.suffix not in {".safetensors", ".onnx"}:
        raise InputError(f"to must end in .safetensors or .onnx, got {to.name}")
    require_writable(to)
    from sdqviz.compression import export as formats
    from sdqviz.compression import packed_file

    found = packed_file.read(file)
    network = found.rebuild() if to.suffix == ".onnx" or found.recipe["network"]["choice"] else None
    if to.suffix == ".onnx" and network is not None:
        content = formats.onnx(network)
    else:
        content = formats.packed_safetensors(found) if network is None else formats.safetensors(network)
    to.write_bytes(content)
    typer.echo(f"written: {to}, {len(content):,} bytes")
