"""Inputs cut to batches of which everything that enters the layers of a network can be kept for a moment."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from sdqviz.networks.batch import batch_size, batches, common_length, parts, with_first
from sdqviz.networks.network import Network
from sdqviz.networks.recorder import Recorder

KEPT_BYTES = 16 * 1024**2
"""What the inputs of all watched layers may take of one batch, in the network's own precision. Both networks, outputs
as well as inputs, and double precision make eight times as much."""


def watched_batches(network: Network, names: Sequence[str], inputs: Any, kept: int = KEPT_BYTES) -> Iterator[Any]:
    """Cut inputs into batches by what a recorder would keep of them, which tokens or pixels say little about.

    Parameters
    ----------
    network : Network
        What they pass through.
    names : sequence of str
        The layers that are watched.
    inputs : ndarray, tensor, tuple or mapping of these, or list of batches
        Inputs of the network.
    kept : int
        Bytes of all layers' inputs in one batch; a batch has one input at least.
    """
    recorder = Recorder(network.module, names, outputs=False)
    few, recording = with_first(  # of one alone a normalisation over the batch could say nothing
        inputs, 2, lambda some: recorder.run(functools.partial(network.passes.raw, inputs=some))
    )
    length = common_length(parts(few)) or 1
    if length > 2:  # it takes no fewer
        return batches(inputs)
    taken = sum(call.entered.nbytes for calls in recording.calls.values() for call in calls)
    most = kept * length // max(taken, 1)
    return batches(inputs, min(batch_size(inputs), max(1, most)))
