"""What the original network does with the inputs, batch by batch; kept for the next comparison where it is small."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import weakref
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.array import Array
from sdqviz.networks.batch import common_length, own_tensor, parts
from sdqviz.networks.layer import Layer
from sdqviz.networks.network import Network
from sdqviz.networks.plainness import linear_part
from sdqviz.networks.recorder import Call, Recorder
from sdqviz.networks.watched import watched_batches
from sdqviz.recent import Recent

if TYPE_CHECKING:
    from torch import Tensor, nn

KEPT = 48e6
"""Bytes of all batches of a network up to which they are kept."""

LOOKED_AT = 16e6
"""Bytes of inputs up to which they are recognised by what they hold."""


@dataclasses.dataclass(frozen=True, eq=False)
class Use:
    """One use of a layer in the original network, in double precision.

    Attributes
    ----------
    entered : Tensor
        What entered it, z.
    product : Tensor or None
        Wz, without the bias; None where nothing entered, as with an expert that nobody chose.
    reference : float
        ‖Wz‖².
    alive : ndarray of bool
        Which input features (channels for a convolution) are ever non-zero.
    squares : ndarray or None
        ‖z_t‖² of each feature over the samples, of inputs with two axes.
    """

    entered: Tensor
    product: Tensor | None = None
    reference: float = 0.0
    alive: Array | None = None
    squares: Array | None = None

    @classmethod
    def of(cls, layer: Layer, part: nn.Module, call: Call, exact: bool) -> Use:
        """Take from a recorded call what every comparison uses.

        Parameters
        ----------
        layer : Layer
            The original layer.
        part : torch.nn.Module
            It as a module.
        call : Call
            Its use.
        exact : bool
            Whether the call was in double precision; then what left the layer is its product, up to the bias.
        """
        import torch

        z = call.entered.cpu().double()
        if 0 in z.shape:
            return cls(z)
        product = left_over(layer, call) if exact and call.called else linear_part(part, z, torch.tensor(layer.weight))
        squares = z.square().sum(dim=0).numpy() if z.ndim == 2 else None
        return cls(z, product, square(product), _alive(layer, z.numpy()), squares)

    @property
    def nbytes(self) -> int:
        """Bytes of memory it takes."""
        return int(self.entered.nbytes) + (0 if self.product is None else int(self.product.nbytes))


def left_over(layer: Layer, call: Call) -> Tensor:
    """Return what left a layer in double precision, without the bias."""
    import torch

    output = call.output.cpu().double()
    if layer.bias is None:
        return output
    shape = [-1] if layer.kind == "Linear" else [-1, *[1] * (layer.weight.ndim - 2)]
    return output - torch.tensor(layer.bias).reshape(shape)


def square(values: Tensor) -> float:
    """Return the sum of squares; nothing is written on the way."""
    import torch

    flat = values.reshape(-1)
    return float(torch.dot(flat, flat))


def norms(values: Any, length: int | None) -> Array:
    """Return the norm of each entry of the first axis where there are ``length`` of them, else of all together."""
    array = np.atleast_1d(own_tensor(values).cpu().double().numpy())
    rows = array.reshape(len(array), -1) if len(array) == length else array.reshape(1, -1)
    with np.errstate(over="ignore", invalid="ignore"):  # what is beyond a double is told as not finite
        return np.linalg.norm(rows, axis=1)


def _alive(layer: Layer, inputs: Array) -> Array:
    axis = inputs.ndim - 1 if layer.kind == "Linear" else inputs.ndim - layer.weight.ndim + 1
    return (inputs != 0).any(axis=tuple(i for i in range(inputs.ndim) if i != axis))


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """One batch and what the original network did with it.

    Attributes
    ----------
    inputs : object
        The batch.
    length : int or None
        How many inputs it has, where its parts agree on that.
    uses : dict of str to list of Use
        The uses of each layer.
    output : Tensor
        What came out.
    output_norms, input_norms : ndarray, shape (n,)
        ‖f(x)‖ and ‖x‖ of each input.
    """

    inputs: Any
    length: int | None
    uses: Mapping[str, Sequence[Use]]
    output: Any
    output_norms: Array
    input_norms: Array

    @property
    def nbytes(self) -> float:
        """Bytes of memory it takes."""
        uses = (use for found in self.uses.values() for use in found)
        return float(sum(use.nbytes for use in uses) + self.output.nbytes + sum(p.nbytes for p in parts(self.inputs)))


_kept: Recent[Hashable, tuple[Seen, ...]] = Recent(8, 2 * KEPT)


def seen(original: Network, names: Sequence[str], inputs: Any) -> Iterator[Seen]:
    """Yield what a network does with inputs, a batch after the other; kept ones are not computed again.

    Parameters
    ----------
    original : Network
        The network, which never changes.
    names : sequence of str
        The layers that are watched.
    inputs : ndarray, tensor, tuple or dict of these, or list of batches
        Inputs of the network.
    """
    key = _key(original, names, inputs)
    found = None if key is None else _kept.get(key)
    if found is not None:
        yield from found
        return
    batches: list[Seen] = []
    taken = 0.0
    for one in _computed(original, names, inputs):
        taken += one.nbytes
        if taken > KEPT:
            key = None
            batches.clear()
        if key is not None:
            batches.append(one)
        yield one
        del one  # before the next one passes
    if key is not None:
        _kept.put(key, tuple(batches), taken)


def _computed(original: Network, names: Sequence[str], inputs: Any) -> Iterator[Seen]:
    recorder = Recorder(original.of(original.precision), names)
    exact = original.precision == "float64"
    layers = {layer.name: layer for layer in original.layers}
    for batch in watched_batches(original, names, inputs):
        recording = recorder.run(functools.partial(original.passes, inputs=batch))
        uses = {
            name: [Use.of(layers[name], recorder.module.get_submodule(name), call, exact) for call in calls]
            for name, calls in recording.calls.items()
        }
        length = common_length(parts(batch))
        yield Seen(batch, length, uses, recording.output, norms(recording.output, length), input_norms(batch))
        del recording, uses


def input_norms(inputs: Any) -> Array:
    """Return ‖x‖ of each input, shape (n,); several tensors count as one long vector."""
    length = common_length(parts(inputs))
    return np.sqrt(np.sum([norms(part, length) ** 2 for part in parts(inputs)], axis=0))


def _key(original: Network, names: Sequence[str], inputs: Any) -> Hashable | None:
    """Return what tells a network and its inputs from others, by what the inputs hold; None where that takes long."""
    if isinstance(inputs, list):
        return None
    values = parts(inputs)
    if sum(value.nbytes for value in values) > LOOKED_AT:
        return None
    names_of = tuple(inputs) if isinstance(inputs, Mapping) else type(inputs).__name__
    digests = tuple(_digest(value) for value in values)
    return weakref.ref(original.module), original.passes, tuple(names), names_of, digests


def _digest(value: Any) -> Hashable:
    """Return shape, type and digest of an array or tensor."""
    import torch

    whole = own_tensor(value).cpu().contiguous()
    content = hashlib.blake2b(whole.flatten().view(torch.uint8).numpy().data, digest_size=16).digest()
    return tuple(whole.shape), str(whole.dtype), content
