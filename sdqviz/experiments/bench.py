"""The speed of the engine on this machine: each figure beside a yardstick measured in the same run."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.experiments.bench_beside import measure_beside
from sdqviz.experiments.bench_figures import REPEATS, Bench, Figure
from sdqviz.frames import FRAMES
from sdqviz.kernels.threads import spread, threads
from sdqviz.progress import Progress, ShouldStop, report, stop_if

DIMENSION, COLUMNS, BITS = 784, 512, 2
"""The first layer of the small networks: columns of 784 weights, 512 at a time."""

SIZES = (1568, 7000)
REST = 0.15
"""Seconds before each piece of work, so that all begin alike: threads of BLAS go on looking for work, on a core each,
0.1 s after their last product, and what follows a rest pays for waking the others."""

AWAKE = 0.2
"""Seconds that a piece of work is called again within its turn, whichever it is: after a rest the system may take a
quarter of that to find out that two threads want a core each."""

PATIENCE = 10.0
"""Seconds after which pieces of work that are compared take no more than two turns."""


def processor() -> str:
    """Return the name of the processor and how many of its cores this process may use."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - one line of a pseudo file
            name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def _versions() -> str:
    names = ("numpy", "scipy", "numba", "torch")
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in names)])


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")


def _least(*works: Callable[[], Any]) -> list[float]:
    """Return the least time of each piece of work in seconds; they take turns."""
    for work in works:
        work()  # compiled kernels, plans of transforms, pages of memory
    found, until = [float("inf")] * len(works), time.perf_counter() + PATIENCE
    for turn in range(REPEATS):
        if turn > 1 and time.perf_counter() > until:
            break
        for place, work in enumerate(works):
            time.sleep(REST)
            spent = 0.0
            while spent < AWAKE:  # the first call of a short work pays for threads that have gone to sleep
                begun = time.perf_counter()
                work()
                spent += (took := time.perf_counter() - begun)
                found[place] = min(found[place], took)
    return found


def _loop(coefficients: Array, step: float, bits: int) -> Array:
    """First-order ΣΔ as numpy has it: a loop over N, all rows at once."""
    by_step, half = np.ascontiguousarray(coefficients.T), 2 ** (bits - 1)
    state = np.zeros(len(coefficients))
    for row in by_step:
        wanted = state + row
        row[:] = (np.clip(np.floor(wanted / step), -half, half - 1) + 0.5) * step
        state = wanted - row
    return np.ascontiguousarray(by_step.T)


def _bare_loop(by_step: Array, step: float, bits: int, levels: Array) -> None:
    """Do the same from and to steps that lie side by side, (N, M), with a byte a level: nothing is turned."""
    half, state = 2 ** (bits - 1), np.zeros(by_step.shape[1])
    for row, kept in zip(by_step, levels, strict=True):
        wanted = state + row
        level = np.clip(np.floor(wanted / step), -half, half - 1)
        kept[:] = level + half
        state = wanted - (level + 0.5) * step


def _carried(vectors: Array, size: int, step: float, bits: int) -> Callable[[], Any]:
    """Return the engine's work on vectors, shape (M, d), with a step that is known: analysis, ΣΔ, synthesis."""
    from sdqviz.frames.harmonic import Harmonic
    from sdqviz.methods.frame_vectors import quantize, walk_through

    carrier = walk_through(Harmonic(dimension=vectors.shape[1], size=size), "identity", 0, False)
    steps, pieces = np.full(len(vectors), step), carrier.pieces(len(vectors))

    def piece(rows: slice) -> Any:
        return quantize(carrier, vectors[rows], carrier.frame.analyze(vectors[rows]), bits, steps[rows])

    return lambda: list(spread(piece, pieces))


def _sigma_delta(size: int) -> list[Figure]:
    """Time analysis, ΣΔ and synthesis of all columns against two bare transforms, dense matrices and a loop."""
    from scipy import fft

    from sdqviz.sigma_delta.recursion import SigmaDelta, walk_rows

    frame = FRAMES["harmonic"](dimension=DIMENSION, size=size).build()
    weights = np.random.default_rng(0).normal(size=(COLUMNS, DIMENSION))
    coefficients = frame.analyze(weights)
    step = float(np.abs(coefficients).max()) / (2 ** (BITS - 1) - 0.5)
    rule, steps = SigmaDelta(bits=BITS, step=step), np.full(COLUMNS, step)
    by_step = np.ascontiguousarray(coefficients.T)
    levels: Array = np.empty(coefficients.shape, np.uint8)
    spectrum = fft.rfft(coefficients)[:, : DIMENSION // 2 + 1].copy()  # the frequencies that are not zero
    vectors = np.array(frame.vectors)

    bare, engine, public, recursion, loop, bare_loop, dense = _least(
        lambda: fft.rfft(fft.irfft(spectrum, n=size, workers=2), workers=2),
        _carried(weights, size, step, BITS),
        lambda: frame.synthesize(rule.run(frame.analyze(weights)).quantized),
        lambda: walk_rows(coefficients, BITS, steps, index=levels),
        lambda: _loop(coefficients, step, BITS),
        lambda: _bare_loop(by_step, step, BITS, levels.reshape(by_step.shape)),
        lambda: _loop(weights @ vectors.T, step, BITS) @ vectors * (DIMENSION / size),
    )
    ours, what = f"{threads()}, 2", f"analysis, ΣΔ and synthesis, N = {size}"
    return [
        Figure(what, "two bare FFTs of scipy", engine, bare, ours, 1.5),
        Figure(f"{what}, by public calls", "two bare FFTs of scipy", public, bare, ours),
        Figure(what, "the same with dense matrices in numpy", engine, dense, ours, 1 / 6),
        Figure(
            f"ΣΔ recursion to stored levels, N = {size}", "a numpy loop over N, all columns at once, rows to rows",
            recursion, loop, f"{threads()}, 1", 1 / 30,
        ),
        Figure(
            f"ΣΔ recursion to stored levels, N = {size}", "the bare loop, on steps side by side", recursion, bare_loop,
            f"{threads()}, 1",
        ),
    ]  # fmt: skip


def _compress(size: int) -> list[Figure]:
    """Time a whole compression of the small network against the engine alone and one pass of its test images."""
    from sdqviz.compression.compress import compress
    from sdqviz.methods import METHODS
    from sdqviz.networks.catalogue import NETWORKS
    from sdqviz.networks.layer import to_vectors

    network = NETWORKS["mnist-fnn"]().load()
    method = METHODS.from_dict({"name": "frame", "size": size, "bits": 1})
    images = np.zeros((0, 0)) if network.dataset is None else network.dataset.test_inputs
    layers = [_carried(to_vectors(layer.weight, 1, "columns"), size, 1.0, 1) for layer in network.layers]

    def alone() -> None:
        for layer in layers:
            layer()
        network.outputs(images)

    network.accuracy()
    mine, beside = _least(lambda: compress(network, method, 0), alone)
    yardstick = "the engine on its layers and one pass of its test images"
    return [Figure(f"compress mnist-fnn, frame, N = {size}", yardstick, mine, beside, f"{threads()}", 1.3)]


def _layer(inputs: int, outputs: int, samples: int) -> list[Figure]:
    """Time GPTQ of one dense layer against its own products at the rate of numpy's, and its search against a walk."""
    import torch

    from sdqviz.methods import METHODS
    from sdqviz.methods.method import Task
    from sdqviz.networks.network import Network

    torch.manual_seed(0)
    x = torch.randn(samples, inputs) * torch.rand(inputs)
    network = Network(torch.nn.Sequential(torch.nn.Linear(inputs, outputs)), x[:2])

    def walked(**fields: Any) -> Callable[[], Any]:
        method = METHODS.from_dict({"name": "gptq", "bits": 4, **fields})
        return lambda: list(method.compress_layers(Task(network.layers, 0, network=network, inputs=x)))

    square = np.random.default_rng(0).normal(size=(1024, 1024))
    plain, search, product = _least(walked(fit="max", alphabet="midtread"), walked(), lambda: square @ square)
    own = (samples * inputs**2 + inputs**3 / 3 + inputs**2 * outputs) / (2 * 1024**3) * product
    name = f"GPTQ of {inputs} → {outputs}, {samples} samples"
    return [
        Figure(f"{name}, one plain walk", "its own products and Cholesky at numpy's rate", plain, own, f"{threads()}"),
        Figure(f"{name}, default search", "one plain walk", search, plain, f"{threads()}", 2.5),
    ]


def _fresh(name: str, *arguments: str) -> list[Figure]:
    """Time a fresh process against a bare one."""

    def call(*given: str) -> Callable[[], Any]:
        return lambda: subprocess.run([sys.executable, *given], check=True, capture_output=True)

    mine, bare = _least(call(*arguments), call("-c", "pass"))
    return [Figure(name, "python -c pass", mine, bare, "1")]


WORK: tuple[Callable[[], list[Figure]], ...] = (
    *(lambda size=size: _sigma_delta(size) for size in SIZES),  # type: ignore[misc]
    *(lambda size=size: _compress(size) for size in (512, 8192)),  # type: ignore[misc]
    lambda: _layer(384, 1536, 6144),
    lambda: _layer(768, 768, 1024),
    lambda: _fresh("import sdqviz", "-c", "import sdqviz"),
    lambda: _fresh("sdqviz --help", "-m", "sdqviz.cli.main", "--help"),
)
"""What is measured, one after the other."""


def measure(
    progress: Progress | None = None, should_stop: ShouldStop | None = None, beside: str | None = None
) -> Bench:
    """Measure every figure; takes about a minute on a quiet machine.

    Parameters
    ----------
    progress, should_stop : callable, optional
        Told of each piece of work, and asked before it.
    beside : str, optional
        The folder of another checkout, or a Python that has sdqviz installed, which is measured in turns with this
        code; takes four times as long.

    Raises
    ------
    InputError
        If there is nothing to be measured at ``beside``.
    Stopped
        If asked to stop.
    """
    load = _load()
    if beside is not None:
        figures, other = measure_beside(beside, None, progress, should_stop)
        return Bench(figures, processor(), load, _versions(), other)
    found: list[Figure] = []
    for place, work in enumerate(WORK):
        stop_if(should_stop)
        report(progress, place, len(WORK), "measuring")
        found += work()
    report(progress, len(WORK), len(WORK), "done")
    return Bench(tuple(found), processor(), load, _versions())
