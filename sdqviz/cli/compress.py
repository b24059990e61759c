"""``sdqviz train``, ``compress``, ``show`` and ``export``: one network, and the file it becomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sdqviz.cli.meter import Meter, interruptible
from sdqviz.cli.settings import choice_from, network_class, require_writable
from sdqviz.cli.text import aligned, report_text
from sdqviz.error import InputError


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
    weights: Annotated[
        Path | None, typer.Option(help="A safetensors file of weights alone, in place of a network.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="A state dict (*.safetensors, *.pt, *.pth) for the network, in place of its own."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="An .npz file of images and labels to measure and test with.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the packed network here (*.sdq).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a table.")] = False,
) -> None:
    """Compress a trained network, or weights of one's own, and print what that did to it."""
    from sdqviz.methods import METHODS

    how = choice_from(METHODS[method], settings or [])
    which = choice_from(network_class(network), [f"seed={network_seed}", *(network_settings or [])])
    if output is not None:
        require_writable(output)  # before the work, not after it
    if weights is not None and (state is not None or data is not None):
        raise InputError("weights must be given without state and data: weights alone have no forward pass, got both")
    from sdqviz.compression import compress as engine
    from sdqviz.networks import own_weights  # only now: the choices above are checked without loading torch

    with interruptible() as should_stop, Meter() as meter:
        if weights is not None:
            loaded = own_weights.read_weights(weights)
        elif state is not None:
            loaded = own_weights.network(which, state)
        else:
            loaded = which.load(progress=meter, should_stop=should_stop)
        if data is not None:
            loaded = loaded.with_data(own_weights.read_dataset(data))
        inputs = None if loaded.dataset is None and calibration else calibration  # else: its example input, if any
        result = engine.compress(loaded, how, inputs, seed, meter, should_stop)
    if output is not None:
        result.save(output)
    if as_json:
        typer.echo(json.dumps(result.report.to_dict(), indent=1, ensure_ascii=False))
    else:
        typer.echo(report_text(result.report))
        if output is not None:
            typer.echo(f"written: {output}, {output.stat().st_size:,} bytes")


def show(
    file: Annotated[Path, typer.Argument(help="A packed network (*.sdq).")],
    test: Annotated[bool, typer.Option("--test", help="Rebuild the network and test it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the recipe as JSON.")] = False,
) -> None:
    """Show what a packed file holds: its recipe, its sizes, every stored part; a damaged file is refused."""
    from sdqviz.compression import listing, packed_file

    found = packed_file.read(file)
    if as_json:
        typer.echo(json.dumps(found.recipe, indent=1, ensure_ascii=False))
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
    """Write the dequantized weights as safetensors, or the network as ONNX, by the ending of the file's name."""
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
