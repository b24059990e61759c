"""The speed of the engine on this machine: each figure beside a yardstick measured in the same run."""

from __future__ import annotations

import dataclasses
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sdqviz.frames import FRAMES
from sdqviz.progress import Progress, ShouldStop, report, stop_if

DIMENSION, COLUMNS, BITS = 784, 512, 2
"""The first layer of the small networks: columns of 784 weights, 512 at a time."""

SIZES = (1568, 7000)
REPEATS = 5


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured time and what it is held against.

    Attributes
    ----------
    name, yardstick : str
        What was timed, and what stands beside it.
    seconds, beside : float
        Medians of both, in seconds.
    threads : str
        Threads of either.
    """

    name: str
    yardstick: str
    seconds: float
    beside: float
    threads: str

    @property
    def ratio(self) -> float:
        """How many times the yardstick it takes."""
        return self.seconds / self.beside


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


def _timed(work: Callable[[], Any]) -> float:
    work()  # compiled kernels, plans of transforms, pages of memory
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _whole(size: int) -> Figure:
    """Time analysis, ΣΔ and synthesis of all columns against two bare transforms of the same length."""
    from scipy import fft

    from sdqviz.sigma_delta.recursion import SigmaDelta

    frame = FRAMES["harmonic"](dimension=DIMENSION, size=size).build()
    vectors = np.random.default_rng(0).normal(size=(COLUMNS, DIMENSION))
    rule = SigmaDelta(bits=BITS, step=float(np.abs(frame.analyze(vectors)).max()) / (2 ** (BITS - 1) - 0.5))
    rows = np.zeros((COLUMNS, size))
    both = _timed(lambda: fft.irfft(fft.rfft(rows, workers=2), n=size, workers=2))
    mine = _timed(lambda: frame.synthesize(rule.run(frame.analyze(vectors)).quantized))
    return Figure(f"analysis, ΣΔ and synthesis, N = {size}", "two bare FFTs of scipy", mine, both, "2")


def _recursion() -> Figure:
    """Time the recursion alone against a numpy loop over N."""
    from sdqviz.sigma_delta.recursion import SigmaDelta

    size, rule = SIZES[0], SigmaDelta(bits=BITS, step=1.0)
    coefficients = np.random.default_rng(0).uniform(-1, 1, size=(COLUMNS, size))

    def loop() -> None:
        state = np.zeros(COLUMNS)
        for n in range(size):
            wanted = coefficients[:, n] + state
            state = wanted - np.clip(np.floor(wanted) + 0.5, -1.5, 1.5)

    mine = _timed(lambda: rule.run(coefficients))
    return Figure(f"ΣΔ recursion, N = {size}", "a numpy loop over N", mine, _timed(loop), "all, 1")


def _compress() -> Figure:
    """Time a whole compression of the small network against one pass of its test images."""
    from sdqviz.compression.compress import compress
    from sdqviz.methods import METHODS
    from sdqviz.networks.catalogue import NETWORKS

    network = NETWORKS["mnist-fnn"]().load()
    inputs = np.zeros((0, 0)) if network.dataset is None else network.dataset.test_inputs
    method = METHODS.from_dict({"name": "frame", "size": 512, "bits": BITS})
    mine = _timed(lambda: compress(network, method, 512))
    return Figure("compress mnist-fnn, frame, N = 512", "one pass of its test images", mine,
                  _timed(lambda: network.outputs(inputs)), "all")  # fmt: skip


def _fresh(name: str, arguments: Sequence[str]) -> Figure:
    """Time a fresh process against a bare one."""

    def call(*given: str) -> Callable[[], Any]:
        return lambda: subprocess.run([sys.executable, *given], check=True, capture_output=True)

    return Figure(name, "python -c pass", _timed(call(*arguments)), _timed(call("-c", "pass")), "1")


WORK: tuple[Callable[[], Figure], ...] = (
    lambda: _whole(SIZES[0]),
    lambda: _whole(SIZES[1]),
    _recursion,
    _compress,
    lambda: _fresh("import sdqviz", ["-c", "import sdqviz"]),
    lambda: _fresh("sdqviz --help", ["-m", "sdqviz.cli.main", "--help"]),
)
"""What is measured, one after the other."""


def measure(progress: Progress | None = None, should_stop: ShouldStop | None = None) -> tuple[Figure, ...]:
    """Measure every figure; takes about half a minute.

    Raises
    ------
    Stopped
        If asked to stop.
    """
    found = []
    for place, work in enumerate(WORK):
        stop_if(should_stop)
        report(progress, place, len(WORK), "measuring")
        found.append(work())
    report(progress, len(WORK), len(WORK), "done")
    return tuple(found)


def table(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Return the figures as rows of text, header first."""
    head = ("figure", "ms", "yardstick", "ms", "ratio", "threads")
    return [
        head,
        *(
            (one.name, f"{1e3 * one.seconds:.1f}", one.yardstick, f"{1e3 * one.beside:.1f}", f"{one.ratio:.2f}",
             one.threads)
            for one in figures
        ),
    ]  # fmt: skip
