"""What compressing a decoder by calibrated methods costs: operations, bytes, network; no machine is needed to know."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import number

SEARCHED, TRIED, TRIES = 7, 16, 24
"""Walks of all neurons with default settings: the last one, and six multiples of each step; and of one neuron in
sixteen, or of sixteen, those of six multiples in four alphabets."""

FACTOR = 1 / 3
"""Operations of the factorisation of H, in units of N³."""

COPIES = 6
"""How often N × N numbers are mirrored, put in the order of the walk, turned or divided: H four times, G twice."""

HELD = (4, 2.5, 7)
"""As `sdqviz.methods.method.MethodChoice.numbers_held`."""

TOGETHER = 2048
"""Neurons that are walked at once: with two threads, or where many multiples of each step ride together."""

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
    def shared(self) -> list[bool]:
        """Which of them have the inputs of the one before: key, value and up."""
        return [False, True, True, False, False, True, False]

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
    copies : float
        Numbers a second of matrices that are copied in another order.
    forward : float
        The same of forward passes in 32 bits.
    steps : float
        Steps of walks a second: what it takes to go on to the next input, however many neurons do.
    disk, network : float
        Bytes a second.
    """

    products: float = 5e11
    walks: float = 1e11
    weights: float = 2.5e7
    copies: float = 2e8
    forward: float = 1e12
    steps: float = 3e4
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
    copied : float
        Numbers of N × N matrices that are copied in another order.
    steps : float
        Steps of walks, of all neurons at once.
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
    copied: float = 0.0
    steps: float = 0.0
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

    def alone(self, machine: Machine) -> float:
        """Return how long that takes which one machine does, or each: all but shares of walks, and the network."""
        computed = self.forward / machine.forward + self.products / machine.products
        computed += self.weights / machine.weights + self.copied / machine.copies + self.steps / machine.steps
        return computed + (self.read + self.written) / machine.disk

    def seconds(self, machine: Machine, machines: int = 1) -> float:
        """Return how long it takes: walks are shared, all else is done by one machine, network included."""
        network = 0.0 if machines == 1 else ((machines - 1) * self.broadcast + self.moved) / machine.network
        return self.alone(machine) + network + self.walks / machine.walks / machines


def searched(outputs: int) -> float:
    """Return how many walks of all neurons of a layer default settings take: 8.5 where there are many."""
    every = max(1, outputs // max(TRIED, outputs // TRIED))  # of so many neurons one
    return SEARCHED + TRIES * -(-outputs // every) / outputs


def layer_cost(
    outputs: int, inputs: int, samples: float, bits: float = 4.0, walks: float | None = None, differ: bool = True,
    passed: float | None = None, shared: bool = False,
) -> Cost:  # fmt: skip
    """Return what one dense layer costs.

    Parameters
    ----------
    outputs, inputs : int
        M and N.
    samples : float
        m, rows of calibration: inputs times their tokens.
    bits : float
        Bits of a stored weight.
    walks : float or None
        Walks of all neurons; None for what default settings take, `searched`.
    differ : bool
        Whether the inputs in the compressed network are others than in the original; not before the first layer.
    passed : float or None
        Weights through which the data pass to come here; None for as many as the layer has.
    shared : bool
        Whether the layer before had the same inputs, whose sums and factor are taken over.

    Notes
    -----
    H takes m·N² operations (its lower triangle), G another 2m·N² where inputs differ. ‖Xw‖² takes N²·M with XᵀX, which
    is H or takes m·N², or else 2m·N·M. The factor takes `FACTOR`·N³; a walk N²·M: half of a product of N × N and N × M.
    Its error takes as much again where inputs differ, G·W twice that; where they do not, a walk finds its own. The
    forward passes are 2m for each weight, of one network or of two.
    """
    weights = outputs * inputs
    square, walked = float(inputs) ** 2, float(inputs) ** 2 * outputs
    walks = searched(outputs) if walks is None else walks
    by_gram = inputs * (1 + outputs / samples) <= 2 * outputs if differ else inputs <= 2 * samples
    norms = walked + (samples * square if differ else 0.0) if by_gram else 2.0 * samples * weights
    errors = (walks + 1 + 2) * walked if differ else 0.0
    sums = 0.0 if shared else (3.0 if differ else 1.0) * samples * square + FACTOR * inputs * square
    return Cost(
        forward=(4.0 if differ else 2.0) * samples * (weights if passed is None else passed),
        products=sums + norms + errors,
        walks=walks * walked,
        weights=weights,
        copied=0.0 if shared else (COPIES if differ else COPIES - 2) * square,
        steps=walks * inputs,
        read=4.0 * weights,
        written=bits / 8 * weights,
        broadcast=(3.0 if differ else 2.0) * 8 * square,
        moved=8.0 * PIECES * weights,
        memory=layer_memory(outputs, inputs),
    )


def layer_memory(outputs: int, inputs: int, held: tuple[float, float, float] = HELD, together: int = TOGETHER) -> float:
    """Return the bytes that compressing a layer takes at most.

    Parameters
    ----------
    outputs, inputs : int
        M and N.
    held : tuple of float
        Numbers of 64 bits: for each of N², for each weight, and for each input of a neuron that is walked.
    together : int
        Neurons, with copies for multiples of their steps, that are walked at once.
    """
    matrices, weights, walked = held
    return 8.0 * inputs * (matrices * inputs + weights * outputs + walked * together)


def layer_costs(
    layers: Sequence[tuple[int, int]], samples: float | Sequence[float], bits: float = 4.0, walks: float | None = None,
    blocks: Sequence[int] | None = None, shared: Sequence[bool] | None = None,
) -> list[Cost]:  # fmt: skip
    """Return what each of some layers costs, one after the other.

    Parameters
    ----------
    layers : sequence of (int, int)
        Outputs and inputs.
    samples : float or sequence of float
        Rows of calibration, of all layers or of each.
    bits, walks
        As for `layer_cost`.
    blocks : sequence of int, optional
        In which block each layer is. A block is run again for each of its layers, as far as that, and once more to
        the next block. None where activations wait in front of every layer.
    shared : sequence of bool, optional
        Which layers have the inputs of the one before, as for `layer_cost`; none by default.
    """
    rows = samples if isinstance(samples, Sequence) else [samples] * len(layers)
    within = list(range(len(layers))) if blocks is None else list(blocks)
    taken = [False] * len(layers) if shared is None else shared
    costs: list[Cost] = []
    before, differ = 0, False
    for place, ((outputs, inputs), own) in enumerate(zip(layers, rows, strict=True)):
        differ = place > 0 and (differ or not taken[place])  # what is taken over knows of one network alone
        if place and within[place] != within[place - 1]:
            before = 0
        last = place + 1 == len(layers) or within[place + 1] != within[place]
        passed = before + (before + outputs * inputs if last else 0)
        costs.append(layer_cost(outputs, inputs, own, bits, walks, differ, passed, taken[place]))
        before += outputs * inputs
    return costs


def network_cost(layers: Sequence[tuple[int, int]], samples: float | Sequence[float], **named: Any) -> Cost:
    """Return what layers of so many outputs and inputs cost together; as `layer_costs`."""
    return sum(layer_costs(layers, samples, **named), Cost())


def decoder_cost(decoder: Decoder, samples: int = 128 * 2048, bits: float = 4.0) -> Cost:
    """Return what all blocks of a decoder cost; 128 texts of 2048 tokens are what GPTQ is usually run with."""
    blocks = [number for number in range(decoder.blocks) for _ in decoder.layers]
    return network_cost(
        decoder.layers * decoder.blocks, samples, bits=bits, blocks=blocks, shared=decoder.shared * decoder.blocks
    )


def formula(machine: Machine) -> Formula:
    """Return the hours on k machines."""
    return Formula(
        r"t(k)=t_1+\frac{1}{k}\,\frac{8.5\,N^2M}{r_w}+\frac{(k-1)\,b+8\cdot 7\,NM}{r_n}",
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
    alone = cost.alone(machine)
    network = cost.seconds(machine, machines) - alone - walks
    return alone / 3600, walks / 3600, max(network, 0.0) / 3600
