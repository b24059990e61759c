"""What compressing a decoder by calibrated methods costs: operations, bytes, network; no machine is needed to know."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import number

WALKS = 9.5
"""Walks of a layer's neurons with default settings: the last one, six multiples of each step searched, and of one
neuron in sixteen those of the alphabets."""

FACTOR = 5 / 3
"""Operations of the factorisation and inversion of H, in units of N³."""

WORKING = 4
"""Matrices of N × N numbers of 64 bits that exist at once."""

PIECES = 7
"""Numbers of 64 bits for each weight that go to a worker (two bases, aligned weights, weights, what is aimed at), or
come back (levels' values and their errors)."""


@dataclasses.dataclass(frozen=True)
class Decoder:
    """The dense layers of a decoder.

    Attributes
    ----------
    name : str
        What it is called.
    blocks, width, inner, key : int
        Blocks, their width, that of their inner layers, and that of keys and values.
    """

    name: str
    blocks: int
    width: int
    inner: int
    key: int

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Outputs and inputs of every layer of a block: query, key, value, output, gate, up, down."""
        d, inner, key = self.width, self.inner, self.key
        return [(d, d), (key, d), (key, d), (d, d), (inner, d), (inner, d), (d, inner)]

    @property
    def weights(self) -> int:
        """Weights of all blocks."""
        return self.blocks * sum(outputs * inputs for outputs, inputs in self.layers)


SEVEN = Decoder("7 B", 32, 4096, 11008, 4096)
SEVENTY = Decoder("70 B", 80, 8192, 28672, 1024)
"""Shapes of the two sizes in which open decoders are most often found."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """How fast a machine is.

    Attributes
    ----------
    products : float
        Operations a second of matrix products in 64 bits.
    walks : float
        The same of walks, which are products of thin blocks and a sequential rest.
    weights : float
        Weights a second to which steps are fitted, and whose levels are rounded, packed and written.
    forward : float
        The same of forward passes in 32 bits.
    disk, network : float
        Bytes a second.
    """

    products: float = 5e11
    walks: float = 1e11
    weights: float = 2.5e7
    forward: float = 1e12
    disk: float = 1e9
    network: float = 1.25e9


@dataclasses.dataclass(frozen=True)
class Cost:
    """What some layers cost.

    Attributes
    ----------
    forward, products, walks : float
        Operations of forward passes, of sums and factorisations, and of walks.
    weights : float
        Weights that get levels.
    read, written : float
        Bytes from and to disk.
    broadcast, moved : float
        Bytes each further machine is sent of what all neurons share, and bytes of all neurons' own parts.
    memory : float
        Bytes of the largest layer's matrices.
    """

    forward: float = 0.0
    products: float = 0.0
    walks: float = 0.0
    weights: float = 0.0
    read: float = 0.0
    written: float = 0.0
    broadcast: float = 0.0
    moved: float = 0.0
    memory: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        """Add up everything but memory, which is let go of in between."""
        both = {
            one.name: getattr(self, one.name) + getattr(other, one.name) for one in dataclasses.fields(self)
        } | {"memory": max(self.memory, other.memory)}  # fmt: skip
        return Cost(**both)

    def seconds(self, machine: Machine, machines: int = 1) -> float:
        """Return how long it takes: walks are shared, all else is done by one machine, network included."""
        alone = self.forward / machine.forward + self.products / machine.products + self.weights / machine.weights
        alone += (self.read + self.written) / machine.disk
        if machines == 1:
            return alone + self.walks / machine.walks
        network = ((machines - 1) * self.broadcast + self.moved) / machine.network
        return alone + network + self.walks / machine.walks / machines


def layer_cost(
    outputs: int, inputs: int, samples: int, bits: float = 4.0, walks: float = WALKS, differ: bool = True
) -> Cost:  # fmt: skip
    """Return what one dense layer costs.

    Parameters
    ----------
    outputs, inputs : int
        M and N.
    samples : int
        m, rows of calibration: inputs times their tokens.
    bits : float
        Bits of a stored weight.
    walks : float
        Walks of all neurons.
    differ : bool
        Whether the inputs in the compressed network are others than in the original; not before the first layer.

    Notes
    -----
    H takes m·N² operations (its lower triangle), G another 2m·N² where inputs differ. ‖Xw‖² takes 2m·N·M, or where
    N ≤ M 2N²·M with XᵀX, which is H or takes m·N². The factor takes `FACTOR`·N³; a walk N²·M: half of a product of
    N × N and N × M. The forward passes of two networks are 4m·N·M.
    """
    weights = outputs * inputs
    square = 8.0 * inputs**2
    norms = 2.0 * samples * weights
    if inputs <= outputs:
        norms = 2.0 * inputs * weights + (samples * inputs**2 if differ else 0.0)
    return Cost(
        forward=4.0 * samples * weights,
        products=(3.0 if differ else 1.0) * samples * inputs**2 + norms + FACTOR * inputs**3,
        walks=walks * inputs**2 * outputs,
        weights=weights,
        read=4.0 * weights,
        written=bits / 8 * weights,
        broadcast=(3.0 if differ else 2.0) * square,
        moved=8.0 * PIECES * weights,
        memory=WORKING * square + 8.0 * 6 * weights,
    )


def network_cost(layers: Sequence[tuple[int, int]], samples: int, bits: float = 4.0, walks: float = WALKS) -> Cost:
    """Return what layers of so many outputs and inputs cost, one after the other."""
    total = Cost()
    for place, (outputs, inputs) in enumerate(layers):
        total += layer_cost(outputs, inputs, samples, bits, walks, differ=place > 0)
    return total


def decoder_cost(decoder: Decoder, samples: int = 128 * 2048, bits: float = 4.0) -> Cost:
    """Return what all blocks of a decoder cost; 128 texts of 2048 tokens are what GPTQ is usually run with."""
    return network_cost(decoder.layers * decoder.blocks, samples, bits)


def fitted(sizes: Sequence[tuple[Cost, float]], machine: Machine) -> Machine:
    """Return a machine whose rates are scaled alike, so that measured seconds are met in the mean."""
    ratio = sum(seconds for _, seconds in sizes) / sum(cost.seconds(machine) for cost, _ in sizes)
    return dataclasses.replace(
        machine,
        products=machine.products / ratio,
        walks=machine.walks / ratio,
        weights=machine.weights / ratio,
        forward=machine.forward / ratio,
    )


def formula(machine: Machine) -> Formula:
    """Return the hours on k machines."""
    return Formula(
        r"t(k)=t_1+\frac{1}{k}\,\frac{9.5\,N^2M}{r_w}+\frac{(k-1)\,b+8\cdot 7\,NM}{r_n}",
        [
            ("k", "machines", f"1 to {MACHINES[-1]}"),
            ("N, M", "inputs and outputs of a layer, summed over all layers", ""),
            ("t_1", "seconds of what one machine does", ""),
            ("b", "bytes of H and its companions, 24N²", ""),
            ("r_w", "operations of walks a second", number(machine.walks)),
            ("r_n", "bytes the network carries a second", number(machine.network)),
        ],
        "A prediction, checked on sizes that fit here; nothing of this size was run.",
    )


MACHINES = (1, 2, 4, 8, 16, 32, 64)


PARTS = ("forward passes, sums, disk: one machine", "walks: shared", "network")


def parts(cost: Cost, machine: Machine, machines: int) -> tuple[float, float, float]:
    """Return the hours of what one machine does, of the walks that all share, and of the network."""
    walks = cost.walks / machine.walks / machines
    alone = cost.forward / machine.forward + cost.products / machine.products + cost.weights / machine.weights
    alone += (cost.read + cost.written) / machine.disk
    network = cost.seconds(machine, machines) - alone - walks
    return alone / 3600, walks / 3600, max(network, 0.0) / 3600
