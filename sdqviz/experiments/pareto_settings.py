"""What is tried of each method when all are compared by size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sdqviz.methods import METHODS
from sdqviz.methods.method import MethodChoice

CLOSE_TO_D = 1.001
"""A redundancy that gives the smallest N above d."""


def _method(name: str, **fields: Any) -> MethodChoice:
    return METHODS.from_dict({"name": name, **fields})


def rounding(fit: str) -> Iterator[MethodChoice]:
    """Plain rounding: every alphabet, a scale for each neuron or group of inputs, a finer last layer or not."""
    common = {"fit": fit, "step_bits": "16"}
    for bits in range(1, 5):
        yield _method("round-to-nearest", bits=bits, **common)
        yield _method("round-to-nearest", bits=bits, bits_by_layer={"output": bits + 2}, **common)
    for bits, scale in ((1, "per-64"), (1, "per-32"), (2, "per-64"), (3, "per-64")):
        yield _method("round-to-nearest", bits=bits, scale=scale, **common)


def frames() -> Iterator[MethodChoice]:
    """Frame quantization as published, ΣΔ of first order: N just above d and larger, one to four bits."""
    redundancies = {1: (CLOSE_TO_D, 1.4, 1.85, 2.8), 2: (CLOSE_TO_D, 1.4)}
    for bits in range(1, 5):
        for redundancy in redundancies.get(bits, (CLOSE_TO_D,)):
            for family in ("half-frequency", "random"):
                yield _method(
                    "frame", frame=family, redundancy=redundancy, bits=bits, step_rule="range-column", step_bits="16"
                )


def spread() -> Iterator[MethodChoice]:
    """Frames behind random signs: order 0 with steps that are fitted or cover the range, and first order."""
    common = {"frame": "half-frequency", "signs": True, "step_bits": "16"}
    redundancies = {1: (1.0, 1.4, 1.85), 2: (1.0, 1.4), 3: (1.0,), 4: (1.0,)}
    for bits, own in redundancies.items():
        for redundancy, rule in itertools.product(own, ("fitted", "range-column")):
            yield _method("frame", order=0, redundancy=redundancy, bits=bits, step_rule=rule, **common)
    for bits, redundancy in ((1, 1.85), (1, 2.8), (2, 1.4)):
        yield _method("frame", order=1, redundancy=redundancy, bits=bits, step_rule="range-column", **common)


def following(name: str, **fixed: Any) -> Iterator[MethodChoice]:
    """Path following and error feedback: one to four bits, every alphabet, finer later layers or groups of inputs."""
    common = {"step_bits": "16", **fixed}
    for bits in range(1, 5):
        yield _method(name, bits=bits, **common)
        yield _method(name, bits=bits, bits_by_layer={"hidden2": bits + 1, "output": bits + 2}, **common)
    for bits in (1, 2):
        yield _method(name, bits=bits, bits_by_layer={"output": bits + 2}, **common)
        yield _method(name, bits=bits, scale="per-64", **common)


def calibrated() -> Iterator[MethodChoice]:
    """Calibrated frames over the neurons: fewer and more vectors than dimensions, one to four bits."""
    redundancies = {1: (0.5, 0.65, 0.8, 0.95, 1.0, 1.25, 1.75), 2: (0.6, 0.85, 1.0, 1.2), 3: (1.0, 1.15), 4: (1.0,)}
    for bits, own in redundancies.items():
        for redundancy in own:
            yield _method("frame-calibrated", bits=bits, redundancy=redundancy)
    for bits, redundancy in ((1, 0.6), (1, 0.9), (2, 0.85), (2, 1.0)):
        yield _method("frame-calibrated", bits=bits, redundancy=redundancy, bits_by_layer={"output": bits + 2})


def columns() -> Iterator[MethodChoice]:
    """Calibrated frames over the columns: with steps that cover the range one bit needs twice the vectors."""
    yield from (_method("frame-columns", bits=1, redundancy=2.0, order=order) for order in (0, 1))
    for bits, rule in ((1, "fitted"), (2, "range"), (2, "fitted"), (3, "range"), (4, "range")):
        yield _method("frame-columns", bits=bits, step_rule=rule)


def coded() -> Iterator[MethodChoice]:
    """Calibrated frames with coded levels, or the weights themselves so: the step c, from coarse to fine."""
    yield from (_method("frame-coded", rate=step) for step in (1.2, 0.8, 0.6, 0.45, 0.3, 0.2, 0.1, 0.05))
    yield from (_method("frame-coded", rate=step, basis="pixels") for step in (1.2, 0.8, 0.6, 0.45, 0.3))


def gpfq() -> Iterator[MethodChoice]:
    """GPFQ, dense and with thresholds."""
    yield from following("gpfq")
    for bits, threshold, ratio in itertools.product((2, 3), ("soft", "hard"), (0.5, 0.75, 0.9)):
        yield _method("gpfq", bits=bits, step_bits="16", threshold=threshold, pruning_ratio=ratio)


def unified() -> Iterator[MethodChoice]:
    """Try the operators of the unified framework that quantize and prune, or keep one bit."""
    yield _method("unified", operator="one-bit", step_bits="16")
    for bits, ratio in itertools.product((2, 3, 4), (0.5, 0.75, 0.9)):
        yield _method("unified", bits=bits, step_bits="16", pruning_ratio=ratio)


def magnitude() -> Iterator[MethodChoice]:
    """Magnitude pruning with rounded and with exact survivors."""
    for bits, ratio in itertools.product((1, 2, 3, 4, None), (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)):
        if bits is not None or ratio >= 0.9:
            yield _method("magnitude-pruning", bits=bits, pruning_ratio=ratio, scope="network", step_bits="16")


def geta() -> Iterator[MethodChoice]:
    """Joint pruning and quantization: it trains the network anew for every setting, so only a few are tried."""
    for sparsity in (0.35, 0.5, 0.65):
        yield _method("geta", sparsity=sparsity)


LINES: Mapping[str, Callable[[], Iterable[MethodChoice]]] = {
    "rounding, max": lambda: rounding("max"),
    "rounding, MSE": lambda: rounding("mse"),
    "frame quantization": frames,
    "spread frames": spread,
    "calibrated frames": calibrated,
    "calibrated columns": columns,
    "coded frames": coded,
    "GPFQ": gpfq,
    "SPFQ": lambda: following("spfq"),
    "unified framework": unified,
    "GPTQ": lambda: following("gptq"),
    "Qronos": lambda: following("qronos"),
    "magnitude pruning": magnitude,
    "GETA (trained)": geta,
}
"""Each line of the table, and the settings that are tried for it."""
