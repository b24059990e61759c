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
    """Plain rounding: midrise, one scale for each neuron."""
    for bits in range(1, 5):
        yield _method("round-to-nearest", bits=bits, fit=fit)


def frames() -> Iterator[MethodChoice]:
    """Frame quantization: N just above d and larger, one to four bits, three families, orders and both axes."""
    redundancies = {1: (CLOSE_TO_D, 1.03, 1.5, 1.95, 2.9, 3.85), 2: (CLOSE_TO_D, 1.45, 1.95), 3: (CLOSE_TO_D, 1.28)}
    for bits, finer in itertools.product(range(1, 5), (False, True)):
        common = {"bits": bits, "step_rule": "range-column"}
        if finer:  # the last layer has one weight in a hundred, and matters most
            common["bits_by_layer"] = {"output": bits + 2}
        for redundancy in redundancies.get(bits, (CLOSE_TO_D,)):
            for family in ("harmonic", "half-frequency", "random"):
                yield _method("frame", frame=family, redundancy=redundancy, **common)
        for permutation in ("nearest-neighbour", "reversed-bits"):
            yield _method("frame", frame="random", redundancy=CLOSE_TO_D, permutation=permutation, **common)
        yield _method("frame", frame="random", redundancy=CLOSE_TO_D, axis="rows", **common)


def following(name: str, **fixed: Any) -> Iterator[MethodChoice]:
    """Path following and error feedback: one to four bits, with and without a zero, finer later layers or not."""
    for bits, finer in itertools.product(range(1, 5), (False, True)):
        by_layer = {"hidden2": bits + 1, "output": bits + 2} if finer else {}
        for alphabet in ("midrise", "midtread")[: 1 if bits == 1 else 2]:
            yield _method(name, bits=bits, alphabet=alphabet, bits_by_layer=by_layer, **fixed)


def calibrated() -> Iterator[MethodChoice]:
    """Calibrated frames over the neurons: fewer and more vectors than weights, one to four bits."""
    for bits, redundancies in {1: (0.5, 1.0, 1.5, 2.0, 3.0), 2: (1.0, 1.5), 3: (1.0,), 4: (1.0,)}.items():
        for redundancy in redundancies:
            yield _method("frame-calibrated", bits=bits, redundancy=redundancy)


def columns() -> Iterator[MethodChoice]:
    """Calibrated frames over the columns: with steps that cover the range one bit needs twice the vectors."""
    yield from (_method("frame-columns", bits=1, redundancy=redundancy) for redundancy in (2.0, 3.0))
    yield from (_method("frame-columns", bits=bits) for bits in (2, 3, 4))


def coded() -> Iterator[MethodChoice]:
    """Calibrated frames with coded levels: by the rate that may be spent."""
    yield from (_method("frame-coded", rate=rate) for rate in (0.5, 0.9, 1.0, 1.4, 1.9, 2.9, 3.9))


def gpfq() -> Iterator[MethodChoice]:
    """GPFQ, dense and with thresholds."""
    yield from following("gpfq")
    for bits, threshold, ratio in itertools.product((2, 3, 4), ("soft", "hard"), (0.5, 0.75)):
        yield _method("gpfq", bits=bits, alphabet="midtread", threshold=threshold, pruning_ratio=ratio)


def unified() -> Iterator[MethodChoice]:
    """Try the operators of the unified framework that quantize."""
    yield from following("unified", operator="quantize")
    yield _method("unified", operator="one-bit")
    for bits, ratio in itertools.product((2, 3, 4), (0.5, 0.75)):
        yield _method("unified", bits=bits, pruning_ratio=ratio)


def magnitude() -> Iterator[MethodChoice]:
    """Magnitude pruning with rounded and with exact survivors."""
    for bits, ratio in itertools.product((1, 2, 3, 4, None), (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)):
        if bits is not None or ratio >= 0.9:
            yield _method("magnitude-pruning", bits=bits, pruning_ratio=ratio, scope="network")


def geta() -> Iterator[MethodChoice]:
    """Joint pruning and quantization: it trains the network anew for every setting, so only a few are tried."""
    for sparsity in (0.35, 0.5, 0.65):
        yield _method("geta", sparsity=sparsity)


LINES: Mapping[str, Callable[[], Iterable[MethodChoice]]] = {
    "rounding, max": lambda: rounding("max"),
    "rounding, MSE": lambda: rounding("mse"),
    "frame quantization": frames,
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
