"""What else could be done with a network that joint pruning and quantization was run on: the baselines beside it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sdqviz.array import FLOAT_BITS
from sdqviz.compression.compress import Compression, compress
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.methods.geta.recording import Beside
from sdqviz.networks import cost
from sdqviz.networks.network import Network
from sdqviz.progress import Progress, ShouldStop, part, report, stop_if

if TYPE_CHECKING:
    from torch import nn

    from sdqviz.methods.geta import Geta
    from sdqviz.networks.dataset import Dataset
    from sdqviz.networks.learned_quantizer import LearnedQuantizer

BASELINE_BITS = 8
"""Bits to which the fine-tuned baseline is rounded, weights and activations."""

CALIBRATION = 512
"""Inputs that ranges of activations are taken from, and path following is calibrated on."""


def calibration_size(network: Network) -> int:
    """Return how many inputs to calibrate on."""
    return CALIBRATION if network.dataset is None else min(CALIBRATION, network.dataset.calibration_size)


def baselines(
    network: Network,
    method: Geta,
    made: Compression,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Iterator[Beside]:
    """Yield what else could be done with the same network.

    Pruning by size, fine-tuned and then rounded, or trained with as many bits for every layer; and no training at all.

    Parameters
    ----------
    network : Network
        The original.
    method : Geta
        What was run; baselines that are trained get its sparsity, optimizer, steps and data.
    made : Compression
        What came of it; all but the first baseline get its BOPs.
    progress, should_stop : callable, optional
        As everywhere.
    """
    seed, budget = made.report.seed, made.report.relative_bops
    small = fine_tuned(network, method, seed, part(progress, 0.0, 0.3), should_stop)
    yield rounded(network, small, BASELINE_BITS, BASELINE_BITS, method.sparsity, seed)
    left = cost.count(small).total / cost.count(network).total
    bits = affordable_bits(budget / left)
    yield rounded(network, small, *bits, method.sparsity, seed)
    if min(bits) >= 2:
        yield trained_with_bits(network, method, bits, seed, part(progress, 0.3, 0.8), should_stop)
    weight_bits, input_bits = affordable_bits(budget)
    for place, name in enumerate(("round-to-nearest", "gpfq")):
        report(progress, 0.8 + 0.1 * place, 1.0, f"beside: {name}")
        stop_if(should_stop)
        choice = METHODS.from_dict({"name": name, "bits": weight_bits})
        yield _untrained(network, choice, weight_bits, input_bits, seed, should_stop)


def affordable_bits(relative_bops: float, most: int = 16) -> tuple[int, int]:
    """Return bits (weights, activations) of an uncut network that costs at most some relative BOPs.

    The product is the largest that fits, with activations getting as many bits as weights, or one more.

    Examples
    --------
    >>> affordable_bits(0.015)  # at most 15 of 32 · 32
    (3, 4)
    """
    limit = relative_bops * 32 * 32 * (1 + 1e-9)
    pairs = [(low, low + more) for low in range(1, most) for more in (0, 1)]
    return max((pair for pair in pairs if pair[0] * pair[1] <= limit), default=(1, 1), key=math.prod)


def quantized_inputs(network: Network, bits: int, seed: int = 0) -> Network:
    """Return a network with a quantizer before each layer, its range 1.05 times the largest value of calibration.

    Parameters
    ----------
    network : Network
        With data.
    bits : int
        At least 2.
    seed : int
        Draws the calibration inputs.
    """
    from sdqviz.methods.geta.quantized import observe
    from sdqviz.networks.learned_quantizer import LearnedQuantizer, quantize_input

    if network.dataset is None:
        raise InputError("dataset must be given to the network to calibrate it, got none")
    inputs = network.dataset.calibration(calibration_size(network), seed)
    module = copy.deepcopy(network.module)
    for name, (_, largest) in observe(network, inputs).items():
        quantize_input(module.get_submodule(name), LearnedQuantizer.for_activations(largest, bits))
    return network.with_module(module)


def _untrained(
    network: Network, method: Any, weight_bits: int, input_bits: int, seed: int, should_stop: ShouldStop | None
) -> Beside:
    """Round or walk without training, then quantize activations."""
    done = compress(network, method, calibration_size(network), seed, None, should_stop)
    return _beside(
        f"{method.title}, {weight_bits} bits, activations {input_bits}",
        network,
        quantized_inputs(done.network, max(2, input_bits), seed),
        {layer.name: float(weight_bits) for layer in network.layers},
        done.report.bits_per_weight,
        0.0,
    )


def trained_with_bits(
    network: Network,
    method: Geta,
    bits: tuple[int, int],
    seed: int,
    progress: Progress | None,
    should_stop: ShouldStop | None,
) -> Beside:
    """Remove the smallest units, then train with the same bits for every layer."""
    small = fine_tuned(network, method, seed, progress, should_stop, bits)
    weights = {f"{layer.name}.weight" for layer in network.layers}
    sizes = {name: tensor.numel() for name, tensor in small.module.state_dict().items()}
    levels = sum(size for name, size in sizes.items() if name in weights)
    exact = sum(sizes.values()) - levels + len(weights)  # one step d for each weight
    numbers = sum(tensor.numel() for tensor in network.module.state_dict().values())
    return _beside(
        f"Smallest units removed, trained at {bits[0]} bits, activations {bits[1]}",
        network,
        small,
        {layer.name: float(bits[0]) for layer in network.layers},
        (bits[0] * levels + FLOAT_BITS * exact) / numbers,
        method.sparsity,
    )


def _beside(
    label: str, original: Network, found: Network, bits: Mapping[str, float], per_weight: float, sparsity: float
) -> Beside:
    spent = cost.compare(original, found, bits)
    return Beside(label, found.accuracy(), spent.relative_bops, per_weight, sparsity)


def rounded(
    original: Network, small: Network, weight_bits: int, input_bits: int, sparsity: float, seed: int = 0
) -> Beside:
    """Round the weights of a fine-tuned network, with a scale for each neuron, and quantize its activations.

    Parameters
    ----------
    original, small : Network
        Before anything was removed, and what `fine_tuned` gives.
    weight_bits, input_bits : int
        Of weights and activations; the latter at least 2.
    sparsity : float
        Share of the units that were removed.
    seed : int
        Draws the calibration inputs.
    """
    method = METHODS.from_dict({"name": "round-to-nearest", "bits": weight_bits})
    done = compress(small, method, 0, seed)
    numbers = sum(tensor.numel() for tensor in original.module.state_dict().values())
    return _beside(
        f"Smallest units removed, fine-tuned, {weight_bits} bits, activations {input_bits}",
        original,
        quantized_inputs(done.network, max(2, input_bits), seed),
        {layer.name: float(weight_bits) for layer in original.layers},
        8 * done.report.bytes / numbers,
        sparsity,
    )


def fine_tuned(
    network: Network,
    method: Geta,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    bits: tuple[int, int] | None = None,
) -> Network:
    """Remove the smallest units by their norm, and train what is left just as long.

    The same number of units goes, with the same optimizer, rate, batches and number of steps; the rate falls along half
    a cosine in the last part as it does there.

    Parameters
    ----------
    network : Network
        The original.
    method : Geta
        Gives sparsity, optimizer and steps.
    seed : int
        Decides the order of the inputs.
    progress, should_stop : callable, optional
        As everywhere.
    bits : (int, int), optional
        Bits of all weights and all activations, each at least 2: what is left is then trained with learned quantizers
        that keep them from the first step to the last.

    Returns
    -------
    Network
        The smaller network in float32, its weights on their levels where there are bits.
    """
    from sdqviz.networks.learned_quantizer import without_weight_quantizers

    if network.dataset is None:
        raise InputError("dataset must be given to the network to train it, got none")
    module = without_smallest(network, method).eval()
    fixed = [] if bits is None else _quantizers(module, network, seed, *bits)
    _train(module.requires_grad_(True), fixed, network.dataset, method, seed, progress, should_stop)
    without_weight_quantizers(module)
    return network.with_module(module.eval().requires_grad_(False))


def _quantizers(
    module: nn.Module, network: Network, seed: int, weight_bits: int, input_bits: int
) -> list[tuple[LearnedQuantizer, int]]:
    """Put quantizers on all layers, as a run does; return each with its bits."""
    from sdqviz.methods.geta.quantized import observe
    from sdqviz.networks.learned_quantizer import LearnedQuantizer, quantize_input, quantize_weight

    assert network.dataset is not None
    found = []
    for name, (_, largest) in observe(network, network.dataset.calibration(calibration_size(network), seed)).items():
        layer: Any = module.get_submodule(name)
        quantize_weight(layer, LearnedQuantizer.for_weight(layer.weight, weight_bits))
        quantize_input(layer, LearnedQuantizer.for_activations(largest, input_bits))
        found += [(layer.weight_quantizer, weight_bits), (layer.input_quantizer, input_bits)]
    return found


def _train(
    module: nn.Module,
    fixed: Sequence[tuple[LearnedQuantizer, int]],
    data: Dataset,
    method: Geta,
    seed: int,
    progress: Progress | None,
    should_stop: ShouldStop | None,
) -> None:
    """Train in place, on one thread; quantizers learn their ranges, and keep their bits."""
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    from sdqviz.methods.geta.batches import Batches
    from sdqviz.networks.forward import main_tensor

    kinds: dict[str, Callable[..., Any]] = {
        "sgd": lambda p: torch.optim.SGD(p, method.rate, momentum=method.momentum),
        "adam": lambda p: torch.optim.Adam(p, method.rate),
        "adamw": lambda p: torch.optim.AdamW(p, method.rate, weight_decay=method.decay),
    }
    learned = [one.reach for one, _ in fixed]
    other = {id(number) for one, _ in fixed for number in one.parameters()}
    ordinary = {"params": [one for one in module.parameters() if id(one) not in other], "weight": method.rate}
    own = {"params": learned, "weight": method.quantizer_rate, "weight_decay": 0.0}
    optimizer = kinds[method.optimizer]([ordinary, own] if learned else [ordinary])
    batches, plan = Batches(data, method.batch, seed), method.plan
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for part in module.modules():
            if isinstance(part, _BatchNorm):
                part.train()
        for step in range(plan.steps):
            stop_if(should_stop)
            if step % 20 == 0:
                report(progress, step, plan.steps, f"beside: fine-tuning, step {step + 1} of {plan.steps}")
            for group in optimizer.param_groups:
                group["lr"] = group["weight"] * plan.rate_share(step)
            inputs, labels = batches.of(step)
            module.zero_grad()
            torch.autograd.backward(torch.nn.functional.cross_entropy(main_tensor(module(inputs)), labels))
            for one, _ in fixed:
                one.tie_step()
            optimizer.step()
            for one, bits in fixed:
                one.keep_positive()
                one.set_bits(bits)
    finally:
        torch.set_num_threads(threads)


def without_smallest(network: Network, method: Geta) -> nn.Module:
    """Cut out as many units as the method would, those with the smallest Euclidean norm."""
    import torch

    from sdqviz.methods.geta.flat import FlatParameters, Units
    from sdqviz.methods.geta.saliency import Sums, least_salient, magnitude
    from sdqviz.methods.geta.stages import redundant_counts
    from sdqviz.pruning import dependency, removal

    graph = dependency.groups(network)
    module = copy.deepcopy(network.module)
    flat = FlatParameters(module)
    units = Units.of(graph, flat)
    values = flat.values[units.entries]
    sizes = magnitude(Sums.of(values, torch.zeros_like(values), units.unit, len(units.group)))
    free = torch.ones(len(units.group), dtype=torch.bool)
    gone = torch.zeros_like(free)
    count, most = redundant_counts(method.sparsity, units.counts, method.scope)
    gone[least_salient(sizes, units.group, free, count, most)] = True
    return removal.remove(network.module, graph.recipe(units.by_group(gone)))
