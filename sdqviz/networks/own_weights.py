"""What a user brings: weights alone, a state dict for a known architecture, or labelled data, checked before use.

Nothing is written to disk and nothing is kept here; whoever asks holds the result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sdqviz import memory
from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.networks.dataset import Dataset, from_npz
from sdqviz.networks.network import Network
from sdqviz.networks.state_file import fill, path_or_bytes, read_state
from sdqviz.progress import Progress, ShouldStop
from sdqviz.strict_json import shortened
from sdqviz.tensor_file import Entry, Stored, open_tensors

if TYPE_CHECKING:
    from torch import nn

LARGEST_FILE = 1 << 30
"""Bytes of a file that is read from disk, at most."""

MOST_TENSORS = 20_000
"""Tensors of a file of weights, at most."""

WEIGHTS_ALONE = "weights alone: no forward pass, so no accuracy and no output error; convolutions count as ungrouped"
"""What a reader of such a result must know."""

AnyTensor = Stored | Entry
"""A tensor of a file, whether the file is in memory or not."""

FLOATS = ("F16", "BF16", "F32", "F64")


@dataclasses.dataclass(frozen=True)
class OwnNetwork(NetworkChoice):
    """A network of a user's own, by the hash of what it was made of; only whoever holds it can load it."""

    name = "own"
    title = "Your own"

    seed: int = field(0, label="Network seed", help="Has no meaning here.", minimum=0, maximum=9999)
    digest: str = field("", label="Hash", help="SHA-256 of the files and of the architecture.")
    label: str = field("", label="Name", help="What the user's file is called.")
    code: str = field("", label="Code", help="The Python expression that makes it.")
    alone: bool = field(False, label="Weights alone", help="Whether there is no forward pass.")

    @property
    def ready(self) -> bool:
        """Whether nothing has to be trained: always."""
        return True

    def load(self, progress: Progress | None = None, should_stop: ShouldStop | None = None) -> Network:
        """Refuse: the weights are with whoever brought them.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"network {self.label} must be uploaded in this session, got a link to it alone")


def choice_of(network: Network, code: str, *contents: bytes) -> OwnNetwork:
    """Return the choice that stands for a network.

    Parameters
    ----------
    network : Network
        What was made.
    code : str
        The Python expression that makes it: with the contents, all that it depends on.
    *contents : bytes
        The files.
    """
    digest = hashlib.sha256()
    for content in (code.encode(), *contents):
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    alone = network.example_input is None
    return OwnNetwork(digest=digest.hexdigest(), label=network.name, code=code, alone=alone)


# -- weights alone ----------------------------------------------------------------------------------------


def read_weights(source: str | Path | bytes, name: str = "", largest: int = LARGEST_FILE) -> Network:
    """Read a safetensors file of weights without their architecture.

    Every tensor of two axes is a dense layer (out, in), every one of four a convolution (out, in, height, width); the
    tensor beside it called ``bias`` is its bias if it has an entry for each output. All others are kept as they are.

    Parameters
    ----------
    source : path or bytes
        The file.
    name : str
        What to call it, where its content is given.
    largest : int
        Bytes it may have at most.

    Returns
    -------
    Network
        Without a forward pass: for methods that look at no data. A tensor ``a.weight`` becomes the layer ``a``; one of
        any other name, the layer of that name.

    Raises
    ------
    InputError
        If it is no such file, is too large, or holds no such tensor.
    """
    content, called = _content(source, name, "weights", largest)
    try:
        _, tensors = open_tensors(content)
    except InputError as error:
        raise InputError(f"weights must be a safetensors file, got {called}: {error}") from None
    if len(tensors) > MOST_TENSORS:
        raise InputError(f"weights must have at most {MOST_TENSORS} tensors, got {len(tensors)}")
    memory.require("the weights", sum(stored.size for stored in tensors.values()), "give a smaller file")
    module, renamed = _shelf(tensors)
    return Network.without_forward(module, name=called, note=WEIGHTS_ALONE, renamed=renamed)


def _shelf(tensors: Mapping[str, Stored]) -> tuple[nn.Module, dict[str, str]]:
    """Put tensors into modules that hold them under their names; return what those are called that cannot have them."""
    from torch import nn

    root, renamed = nn.Module(), {}
    placed: set[str] = set()
    for path, name, bias in layers_of(tensors):
        _attach(root, path, _layer(tensors[name], None if bias is None else tensors[bias]))
        placed |= {name} if bias is None else {name, bias}
        if name != f"{path}.weight":
            renamed[f"{path}.weight"] = name
    for name, stored in tensors.items():
        if name not in placed:
            own = _apart(name, tensors) if any(other.startswith(f"{name}.") for other in tensors) else name
            _keep(root, own, stored)
            renamed |= {} if own == name else {own: name}
    return root, renamed


def _apart(name: str, tensors: Container[str]) -> str:
    """Return what a tensor ``a`` is called where a module of its name has to hold others, such as ``a.weight``."""
    own = f"{name} (itself)"
    while own in tensors:
        own += "'"
    return own


def layers_of(tensors: Mapping[str, AnyTensor]) -> list[tuple[str, str, str | None]]:
    """Return the layers that tensors without their architecture make, in order: their path, weight and bias.

    Raises
    ------
    InputError
        If there is none.
    """
    matrices = [name for name, stored in tensors.items() if _is_matrix(stored)]
    if not matrices:
        raise InputError(f"weights must hold a tensor of two or four axes, got none among {len(tensors)}")
    places = sorted(((_place(name, tensors), name) for name in matrices), key=_in_order)
    return [(path, name, bias) for (path, bias), name in places]


def _in_order(found: tuple[tuple[str, str | None], str]) -> list[tuple[bool, int, str]]:
    """Return what sorts paths: a module before the ones inside it, block 10 after block 9."""
    parts = found[0][0].split(".")
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _is_matrix(stored: AnyTensor) -> bool:
    return stored.dtype in FLOATS and len(stored.shape) in (2, 4) and stored.size > 0


def _place(name: str, tensors: Mapping[str, AnyTensor]) -> tuple[str, str | None]:
    """Return the path of a weight's layer, and the name of its bias."""
    path = name.removesuffix(".weight")
    if path == name:  # a layer has a weight and a bias, which others must not be
        taken = any(f"{name}.{own}" in tensors for own in ("weight", "bias"))
        return (_apart(name, tensors) if taken else name), None
    bias = tensors.get(f"{path}.bias")
    if bias is None:
        return path, None
    if bias.dtype in FLOATS and bias.shape == tensors[name].shape[:1]:
        return path, f"{path}.bias"
    return name, None  # something else is called its bias: both keep their full names


def _layer(weight: Stored, bias: Stored | None) -> nn.Module:
    import torch
    from torch import nn

    outputs, inputs, *kernel = weight.shape
    layer: nn.Module = (
        nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), bias=bias is not None, device="meta")
        if kernel
        else nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    )
    for name, stored in (("weight", weight), ("bias", bias)):
        if stored is not None:
            values = torch.from_numpy(stored.array()).float()
            layer.register_parameter(name, nn.Parameter(values, requires_grad=False))
    return layer


def _keep(root: nn.Module, name: str, stored: Stored) -> None:
    import torch
    from torch import nn

    path, _, last = name.rpartition(".")
    values, place = torch.from_numpy(stored.array()), _module(root, path, name)
    with _named(name):
        if values.is_floating_point():
            place.register_parameter(last, nn.Parameter(values.float(), requires_grad=False))
        else:
            place.register_buffer(last, values)


def _attach(root: nn.Module, path: str, layer: nn.Module) -> None:
    above, _, last = path.rpartition(".")
    place = _module(root, above, path)
    with _named(path):
        if last in place._modules:
            raise KeyError(f"{last} is there twice")
        place.add_module(last, layer)


def _module(root: nn.Module, path: str, name: str) -> nn.Module:
    """Return the module at a path, made where it is missing."""
    from torch import nn

    place = root
    for part in path.split(".") if path else ():
        if part not in place._modules:
            with _named(name):
                place.add_module(part, nn.Module())
        place = place.get_submodule(part)
    return place


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Turn torch's complaint about a name into a sentence."""
    try:
        yield
    except KeyError as error:
        why = shortened(str(error.args[0]))
        raise InputError(
            f"tensor {shortened(name)} must have a name a module can have, got it refused: {why}: rename it"
        ) from None


# -- a state dict for a known architecture ------------------------------------------------------------------


def network(choice: NetworkChoice, source: str | Path | bytes, name: str = "", largest: int = LARGEST_FILE) -> Network:
    """Load a user's state dict into an architecture of the catalogue or of torchvision.

    Parameters
    ----------
    choice : NetworkChoice
        The architecture.
    source : path or bytes
        A safetensors file, or one that ``torch.save`` wrote of a state dict: see
        `sdqviz.networks.state_file.read_state`.
    name, largest
        As for `read_weights`.

    Raises
    ------
    InputError
        If the file cannot be read, is too large, would run code, or does not fit: the first difference is named.
    """
    content, called = _content(source, name, "weights", largest)
    state = read_state(content, called)
    memory.require("the weights", sum(tensor.numel() for tensor in state.values()), "give a smaller file")
    module = choice.build()
    fill(module, state, f"weights {called}", choice.name)
    found = choice.wrap(module)
    found.name, found.seed, found.note = f"{choice.name} with {called}", None, f"weights of {called}"
    return found


# -- data -----------------------------------------------------------------------------------------------------


def read_dataset(source: str | Path | bytes, name: str = "", largest: int = LARGEST_FILE) -> Dataset:
    """Read a user's ``.npz`` file of images and labels; see `sdqviz.networks.dataset.from_npz`.

    Raises
    ------
    InputError
        If it is no such file, is too large, or its arrays do not go together.
    """
    content, called = _content(source, name, "data", largest)
    return from_npz(io.BytesIO(content), called)


def _content(given: str | Path | bytes, name: str, what: str, largest: int) -> tuple[bytes, str]:
    """Return what a file holds, and its name, once its size is known to be allowed."""
    source = path_or_bytes(given, what)
    if isinstance(source, bytes):
        content, called, size = source, name or "the file", len(source)
    else:
        called = source.name
        try:
            size = source.stat().st_size
        except OSError as error:
            raise InputError(f"{what} must be a file that can be read, got {called}: {error.strerror}") from None
        content = b""
    if size > largest:
        raise InputError(f"{what} must have at most {largest / 2**20:.0f} MiB, got {size / 2**20:.4g} MiB in {called}")
    if isinstance(source, Path):
        try:
            content = source.read_bytes()
        except OSError as error:
            raise InputError(f"{what} must be a file that can be read, got {called}: {error.strerror}") from None
    return content, called
