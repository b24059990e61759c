"""What a network costs to run: multiply-accumulates, bit operations and parameters, counted on one pass."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sdqviz.array import FLOAT_BITS
from sdqviz.networks.network import Network

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Macs:
    """Multiply-accumulates that one input costs.

    Attributes
    ----------
    layers : mapping of str to float
        By layer of the network; 0 for one that the pass does not use.
    products : float
        Products of two activations (the two of attention), and with weights that belong to no compressible layer
        (torch's own attention keeps such a one).
    """

    layers: Mapping[str, float]
    products: float

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self.layers.values()) + self.products


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a compressed network costs beside the original.

    Attributes
    ----------
    macs, original_macs : float
        Multiply-accumulates of one input. Zeros that are not cut out are multiplied too.
    bops : float
        Bit operations of one input: the sum of MACs · b_w · b_a, with 32 bits for what is not quantized.
    relative_bops : float
        ``bops`` over those of the original in 32 × 32 bits; NaN if it multiplies nothing.
    parameters, original_parameters : int
        Parameters of the modules, shared ones once.
    """

    macs: float
    original_macs: float
    bops: float
    relative_bops: float
    parameters: int
    original_parameters: int


_counted: weakref.WeakKeyDictionary[Network, Macs] = weakref.WeakKeyDictionary()
"""What originals cost: a network never changes, and is compressed again and again."""


def count(network: Network) -> Macs:
    """Count the multiply-accumulates of one input by passing the example through and looking at every product.

    Products are seen as torch carries them out (matrix products, convolutions, attention), so they are counted
    whichever module or function asked for them, and belong to the layer whose weight is one of the factors. Biases,
    normalisations, activations, pooling and the fused kernels of recurrent layers are not counted.

    Parameters
    ----------
    network : Network
        The first axis of its example input counts inputs; the figures are those of one.

    Returns
    -------
    Macs

    Examples
    --------
    >>> import sdqviz as sq
    >>> count(sq.NETWORKS["mnist-fnn"](seed=0).load()).total  # 784·256 + 256·256 + 256·10
    268800.0
    """
    import torch

    if network.example_input is None:  # weights alone: nothing says how often they are used
        return Macs({layer.name: 0.0 for layer in network.layers}, 0.0)
    layers = {
        parameter.data_ptr(): layer.name
        for layer in network.layers
        if isinstance(parameter := network.module.get_submodule(layer.name)._parameters["weight"], torch.Tensor)
    }
    counted = {name: 0 for name in layers.values()}
    others = 0

    def add(macs: int, factors: tuple[Tensor, ...]) -> None:
        nonlocal others
        # transposing, folding and repeating leave a tensor at its place in memory
        name = next((layers[factor.data_ptr()] for factor in factors if factor.data_ptr() in layers), None)
        if name is None:
            others += macs
        else:
            counted[name] += macs

    with _watched(add):
        network.forward(network.example_input)
    inputs = _inputs(network.example_input)
    return Macs({name: macs / inputs for name, macs in counted.items()}, others / inputs)


def bops(macs: Macs, weight_bits: Mapping[str, float], activation_bits: Mapping[str, float]) -> float:
    """Return the bit operations of one input: the sum over layers of MACs · b_w · b_a.

    Parameters
    ----------
    macs : Macs
        What is multiplied.
    weight_bits, activation_bits : mapping of str to float
        Bits of the weights of a layer, and of what goes into it; 32 for layers not named. Products of two activations
        count with 32 × 32 bits.
    """
    by_layer = sum(
        count * weight_bits.get(name, FLOAT_BITS) * activation_bits.get(name, FLOAT_BITS)
        for name, count in macs.layers.items()
    )
    return by_layer + macs.products * FLOAT_BITS**2


def activation_bits(network: Network) -> dict[str, float]:
    """Return the bits of what goes into each layer that has a quantizer before it."""
    from sdqviz.networks.learned_quantizer import LearnedQuantizer

    modules = network.module.named_modules()
    end = ".input_quantizer"
    return {
        name.removesuffix(end): part.whole_bits
        for name, part in modules
        if isinstance(part, LearnedQuantizer) and name.endswith(end)
    }


def compare(original: Network, compressed: Network, weight_bits: Mapping[str, float]) -> Cost:
    """Count what a compressed network costs beside the original.

    Parameters
    ----------
    original, compressed : Network
        Before and after.
    weight_bits : mapping of str to float
        Of the compressed network; see `bops`. The bits of activations are those of its own quantizers.
    """
    before = _counted.get(original)
    if before is None:
        before = _counted[original] = count(original)
    after = count(compressed)
    spent = bops(after, weight_bits, activation_bits(compressed))
    dense = before.total * FLOAT_BITS**2
    return Cost(
        macs=after.total,
        original_macs=before.total,
        bops=spent,
        relative_bops=spent / dense if dense else math.nan,
        parameters=compressed.parameter_count,
        original_parameters=original.parameter_count,
    )


def _inputs(example: Any) -> int:
    """Return how many inputs an example holds."""
    first = example
    while isinstance(first, tuple | Mapping):
        first = next(iter(first.values() if isinstance(first, Mapping) else first))
    return max(1, len(first)) if first.ndim else 1


Add = Callable[[int, "tuple[Tensor, ...]"], None]
"""Told of each product: its multiply-accumulates and its factors."""


@contextlib.contextmanager
def _watched(add: Add) -> Iterator[None]:
    """Tell of every product that this thread carries out inside the block."""
    from torch.overrides import BaseTorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # nothing is compiled here, and loading the compiler to tell it so takes seconds

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            name = func.overloadpacket.__name__
            if name in _MATRIX:
                left, right = args[_MATRIX[name]], args[_MATRIX[name] + 1]
                add(left.numel() * (right.shape[-1] if right.ndim > 1 else 1), (left, right))
            elif name == "convolution":
                inputs, weight, transposed = args[0], args[1], args[6]
                positions = inputs if transposed else result
                add(positions.numel() * weight[0].numel(), (inputs, weight))
            elif name.startswith("_scaled_dot_product"):
                query, key, value = args[:3]
                add(query.shape[:-1].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1]), (query, key, value))
            return result

    # a mode for functions, though it does nothing, keeps torch from its fused transformer layers, which hide products
    with BaseTorchFunctionMode(), Watch():  # type: ignore[no-untyped-call]
        yield


_MATRIX = {"mm": 0, "bmm": 0, "mv": 0, "dot": 0, "addmm": 1, "baddbmm": 1, "addbmm": 1, "addmv": 1}
"""Place, among the arguments of torch's matrix products, of the two factors."""
