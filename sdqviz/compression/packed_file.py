"""Packed files: a compressed network as bit-packed levels, scales, kept tensors and a recipe, and back again.

An ``.sdq`` file is a safetensors file. Its tensors are the packed parts of every layer (``layer:part``) and the tensors
that stay as they are (``kept:name``); its metadata hold one JSON text, the recipe. There is no code in it, and nothing
it says is believed before it was held against the size of the file and the shapes of the network.
"""

from __future__ import annotations

import contextlib
import dataclasses
import mmap
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz import memory
from sdqviz.array import Array
from sdqviz.compression.packed_parts import Row, checked_row
from sdqviz.compression.packing import FORMAT, RECIPE, checksum, kept_names
from sdqviz.compression.reduction import small
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.methods.method import MethodChoice
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.layer import compressible_kinds
from sdqviz.networks.network import Network
from sdqviz.networks.wrapping import state_tensors
from sdqviz.strict_json import read_json, shortened
from sdqviz.tensor_file import Stored, open_tensors

if TYPE_CHECKING:
    from torch import nn

    from sdqviz.path_following.row_product import FrameRows

ENTRIES: dict[str, type] = {
    "format": int, "version": str, "network": dict, "original": str, "numbers": int, "method": dict, "seed": int,
    "layers": list, "kept": list, "checksum": str,
}  # fmt: skip
"""Every entry of a recipe, with its type."""

LONGEST_REFUSAL = 600
"""Characters of a message about a file."""

OPTIONAL: dict[str, type] = {"cut": dict, "input_quantizers": list, "names": dict}
"""Entries that some recipes have: the channels that were cut out, the layers with a quantizer before them, and what
tensors are called for whoever gave the network, where that is not their one name."""


# -- reading: the file alone --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class PackedFile:
    """A file whose table, recipe, sizes and checksum agree; nothing is unpacked yet.

    Attributes
    ----------
    name : str
        What to call it in messages.
    recipe : dict
        Choices, seed, versions, the hash of the original, and where everything is.
    rows : tuple of Row
        Layer by layer.
    kept : dict of str to Stored
        Tensors that stayed as they were.
    size : int
        Bytes of the file.
    """

    name: str
    recipe: Mapping[str, Any]
    rows: tuple[Row, ...]
    kept: Mapping[str, Stored]
    size: int

    @property
    def data_size(self) -> int:
        """Bytes of all tensors; the rest of the file is its header, the recipe included."""
        parts = sum(len(part.data) for row in self.rows for part in row.parts.values())
        return parts + sum(len(stored.data) for stored in self.kept.values())

    @property
    def bits_per_weight(self) -> float:
        """Bits of the whole file, its header included, per original number."""
        return 8 * self.size / self.recipe["numbers"]

    @property
    def method(self) -> type[MethodChoice]:
        """The method that the file names."""
        return METHODS[_text(self.recipe["method"].get("name"), "the method's name")]

    def decode(self, without: Container[str] = ()) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the weights of all layers, and those biases that were compressed, by layer: float64.

        Parameters
        ----------
        without : container of str
            Layers that are left out.

        Raises
        ------
        InputError
            If a part is not what the method needs.
        """
        weights, biases = {}, {}
        with _brief():
            method = self.method
            for row in self.rows:
                if row.name not in without:
                    weights[row.name], bias = _unpacked(self, method.decode, row)
                    if bias is not None:
                        biases[row.name] = bias
        return weights, biases

    def decode_layer(self, row: Row) -> tuple[Array, Array | None]:
        """Return the weight of one layer and, where they were compressed, its biases: float64.

        Raises
        ------
        InputError
            If a part is not what the method needs.
        """
        with _brief():
            weight, bias = _unpacked(self, self.method.decode, row)
            return weight, bias

    def rows_in_frame(self) -> dict[str, tuple[tuple[FrameRows, ...], Array | None]]:
        """Return what its method can give still in a frame, by layer: neurons, group by group, and biases.

        Raises
        ------
        InputError
            If a part is not what the method needs.
        """
        with _brief():
            method = self.method
            found = {row.name: _unpacked(self, method.rows_in_frame, row) for row in self.rows}
        return {name: rows for name, rows in found.items() if rows is not None}

    def rebuild(self, network: Network | None = None, without: Mapping[str, Array | None] | None = None) -> Network:
        """Return the network; it gives the same outputs as the one that was saved.

        Parameters
        ----------
        network : Network, optional
            Any network of the same architecture; needed only where the file's network is not one of the catalogue.
        without : mapping of str to ndarray or None
            Layers whose weights are not decoded but stay those of the given network, with the biases they get, or None
            for biases that the file keeps in float.

        Raises
        ------
        InputError
            If the file does not fit the network.
        """
        try:
            with _brief():
                return _rebuilt(self, network, without or {})
        except MemoryError:
            raise InputError(f"{self.name} must hold a network that fits in memory, got a larger one") from None


def read(source: str | Path | bytes, name: str = "the file") -> PackedFile:
    """Open a packed file and check everything that can be checked without its network.

    Parameters
    ----------
    source : path or bytes
        The file, or what it holds.
    name : str
        What to call it in messages, where its content is given.

    Raises
    ------
    InputError
        If it is not a file that `to_bytes` made, whole and unchanged.
    """
    if isinstance(source, bytes):
        data = source
    else:
        file = Path(source)
        name = file.name
        try:
            memory.require(name, file.stat().st_size, "give a smaller file", itemsize=1)
            data = file.read_bytes()
        except OSError as error:
            raise InputError(f"{name} must be a file that can be read, got {error.strerror}") from None
    try:
        return _checked(data, name)
    except InputError as error:
        raise InputError(f"{name} must be a file that sdqviz saved, whole and unchanged: {error}") from None


def load(path: str | Path, network: Network | None = None) -> Network:
    """Rebuild the network that `Compression.save` wrote; it gives the same outputs.

    Parameters
    ----------
    path : str or Path
        The file.
    network : Network, optional
        Any network of the same architecture; needed only where the file's network is not one of the catalogue.

    Raises
    ------
    InputError
        If it is not such a file, is damaged, or does not fit the network.
    """
    return read(path).rebuild(network)


def open_file(path: Path) -> PackedFile:
    """Open a packed file of any size where it lies: what is read of it later comes from disk then.

    Raises
    ------
    InputError
        If it is not a file that was saved, whole and unchanged.
    """
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return _checked(data, path.name)
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} must be a file that can be read, got {error}") from None
    except InputError as error:
        raise InputError(f"{path.name} must be a file that sdqviz saved, whole and unchanged: {error}") from None


def _checked(data: bytes | memoryview, name: str) -> PackedFile:
    metadata, tensors = open_tensors(data)
    if RECIPE not in metadata:
        raise InputError("its metadata must hold a recipe, got none")
    recipe = read_json(metadata[RECIPE], "its recipe must be")
    if recipe.get("format") != FORMAT:
        raise InputError(f"its format must be {FORMAT}, got {shortened(recipe.get('format'))}")
    known = ENTRIES | OPTIONAL
    for entry, kind in known.items():
        if entry in recipe and (not isinstance(recipe[entry], kind) or isinstance(recipe[entry], bool)):
            raise InputError(f"its {entry} must be of type {kind.__name__}, got {shortened(recipe[entry])}")
    if not set(ENTRIES) <= set(recipe) <= set(known):
        names = ", ".join(sorted(set(recipe) ^ set(ENTRIES))[:3])
        raise InputError(f"its recipe must have all its entries and no others, got a difference in {shortened(names)}")
    if checksum(recipe, {key: stored.data for key, stored in tensors.items()}) != recipe["checksum"]:
        raise InputError("its checksum must be that of its contents, got another: it was changed or damaged")
    if recipe["numbers"] < 1 or not 0 <= recipe["seed"] < 1 << 63:
        raise InputError("its count of numbers and its seed must be in range, got others")
    rows = tuple(checked_row(row, tensors) for row in recipe["layers"])
    if len({row.name for row in rows}) != len(rows):
        raise InputError("its layers must have names of their own, got one twice")
    kept = {}
    for key in recipe["kept"]:
        if not isinstance(key, str) or f"kept:{key}" not in tensors:
            raise InputError(f"its kept tensors must all be there, got no {shortened(key)}")
        kept[key] = tensors[f"kept:{key}"]
    used = sum(len(row.parts) for row in rows) + len(kept)
    if used != len(tensors):
        raise InputError(f"its tensors must be those that the recipe names, got {len(tensors)} for {used}")
    return PackedFile(name, recipe, rows, kept, len(data))


@contextlib.contextmanager
def _brief() -> Iterator[None]:
    """Cut what a refusal repeats of the file, which may be as long as the file."""
    try:
        yield
    except InputError as error:
        text = str(error)
        if len(text) <= LONGEST_REFUSAL:
            raise
        raise InputError(text[:LONGEST_REFUSAL] + "…") from None


# -- reading: with the network --------------------------------------------------------------------------------


def _rebuilt(file: PackedFile, network: Network | None, without: Mapping[str, Array | None]) -> Network:
    if network is None:
        base = _catalogue_network(file)
    else:
        _check_fit(file, network.module)
        base = network
    weights, biases = file.decode(without)
    biases |= {name: bias for name, bias in without.items() if bias is not None}
    stored = {row.name for row in file.rows}
    state = state_tensors(base.module)
    held = {id(state[name]) for name in file.kept if name in state}  # one that layers share is kept under one name
    for layer in base.layers:
        known = layer.name in biases or id(state.get(f"{layer.name}.bias")) in held
        if layer.name in stored and layer.bias is not None and not known:
            raise InputError(f"{file.name} must hold the biases of layer {layer.name}, got none")
    kept = {name: stored.array() for name, stored in file.kept.items()}
    if "cut" not in file.recipe:
        return base.replaced(weights, biases, kept)
    whole = base.replaced(weights, biases)
    return whole.with_module(small(file.name, file.recipe, whole.module)).replaced({}, {}, kept)


def _unpacked(file: PackedFile, read_parts: Callable[..., Any], row: Row) -> Any:
    """Return what a method makes of a layer's parts; parameters that it cannot use are the file's fault."""
    stored = {key: part.unpack() for key, part in row.parts.items()}
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused when it is put in place
            return read_parts(stored, row.parameters, row.shape, row.groups)
    except InputError as error:
        raise InputError(f"{file.name} must hold what layer {row.name} needs: {error}") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(
            f"{file.name} must hold what layer {row.name} needs, got parts that do not fit: {shortened(str(error))}"
        ) from None


def _catalogue_network(file: PackedFile) -> Network:
    """Build the architecture the file names, once its shapes are known to fit; its weights are about to be replaced."""
    import torch

    told = file.recipe["network"]
    made, note = told.get("choice"), told.get("note")
    if not isinstance(made, dict) or not made:
        own = shortened(told.get("name"))
        raise InputError(f"network must be given to load a file of a network of one's own ({own}), got none")
    choice = NETWORKS.from_dict(made)
    with torch.device("meta"):  # shapes without memory
        _check_fit(file, choice.layout())
    network = choice.wrap(choice.build())
    network.note = note if isinstance(note, str) else ""  # the weights that are about to come, not the present ones
    return network


def _check_fit(file: PackedFile, module: nn.Module) -> None:
    """Hold the shapes and names of a file against those of a network, which may have no memory yet."""
    kinds = compressible_kinds()
    layers: dict[str, Any] = {name: part for name, part in module.named_modules() if isinstance(part, kinds)}
    for row in file.rows:
        if row.name not in layers:
            raise InputError(f"the network must have a layer {shortened(row.name)}, got {', '.join(layers)}")
        found = (tuple(layers[row.name].weight.shape), getattr(layers[row.name], "groups", 1))
        if found != (row.shape, row.groups):
            needed = f"shape {row.shape} and {row.groups} groups"
            raise InputError(f"layer {row.name} of the network must have {needed} for this file, got {found}")
    module = small(file.name, file.recipe, module)
    state = state_tensors(module)
    for name, stored in file.kept.items():
        if name not in state or state[name].shape != stored.shape:
            got = tuple(state[name].shape) if name in state else "none of that name"
            raise InputError(f"tensor {shortened(name)} of the network must have shape {stored.shape}, got {got}")
    weights = {f"{row.name}.weight" for row in file.rows}
    biases = {f"{row.name}.bias" for row in file.rows} & set(state)
    for name in kept_names(module, weights | biases):
        if name not in file.kept:
            raise InputError(f"{file.name} must hold the tensor {name} of the network, got none")


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{what} must be a text, got {shortened(value)}")
    return value
