"""What is asked of one compression, and what came of trying it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sdqviz.error import InputError
from sdqviz.methods.method import MethodChoice
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.progress import Progress, ShouldStop

if TYPE_CHECKING:  # asking must not load torch
    from sdqviz.compression.compress import Compression
    from sdqviz.networks.network import Network
    from sdqviz.report import Report


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked: a network, a method, and the inputs the errors are measured on.

    Attributes
    ----------
    network, method : NetworkChoice, MethodChoice
        The choices.
    calibration : int
        How many calibration inputs.
    seed : int
        Seed of the run.
    label : str
        What people call it; two questions that differ in it alone are the same.
    """

    network: NetworkChoice
    method: MethodChoice
    calibration: int = 512
    seed: int = 0
    label: str = dataclasses.field(default="", compare=False)

    def __str__(self) -> str:
        """Show the network and what people call the question."""
        return f"{self.network.name} {self.network.seed}, {self.label or self.method.name}"

    @property
    def ready(self) -> bool:
        """Whether the network is at hand; otherwise it has to be trained first."""
        return self.network.ready

    def compress(
        self,
        network: Network,
        progress: Progress | None = None,
        should_stop: ShouldStop | None = None,
        inputs: Any = None,
    ) -> Compression:
        """Compress the loaded network as asked; one that comes without data has its example input alone.

        Parameters
        ----------
        network : Network
            The loaded network, or the same without its data, so that nothing is tested.
        progress, should_stop : callable, optional
            As everywhere.
        inputs : array or nested arrays, optional
            Calibration inputs that were drawn already, instead of as many of the network's own.

        Raises
        ------
        InputError
            If the choices do not fit the network.
        Stopped
            If asked to stop.
        """
        from sdqviz.compression.compress import compress

        given = inputs if inputs is not None or network.dataset is None else self.calibration
        return compress(network, self.method, given, self.seed, progress, should_stop)


@dataclasses.dataclass(frozen=True, eq=False)
class Attempt:
    """What came of a question: a compressed network, or why there is none.

    Attributes
    ----------
    question : Question
        What was asked.
    compression : Compression or None
        The run; None if it was refused.
    problem : str
        Why it was refused, one sentence; empty if it was not.
    seconds : float
        Time it took, testing included, loading the network not.
    """

    question: Question
    compression: Compression | None
    problem: str
    seconds: float

    @property
    def report(self) -> Report | None:
        """What was measured."""
        return None if self.compression is None else self.compression.report


def attempt(
    question: Question,
    network: Network | Callable[[], Network],
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Attempt:
    """Compress as asked; a refusal is an answer too.

    Parameters
    ----------
    question : Question
        What is asked.
    network : Network or callable
        The loaded network, or what loads it; a network that cannot be had is a refusal.
    progress, should_stop : callable, optional
        As everywhere.

    Raises
    ------
    Stopped
        If asked to stop.
    """
    begun = time.perf_counter()
    try:
        given = network() if callable(network) else network
        begun = time.perf_counter()
        found = question.compress(given, progress, should_stop)
    except InputError as error:
        return Attempt(question, None, str(error), time.perf_counter() - begun)
    return Attempt(question, found, "", time.perf_counter() - begun)
