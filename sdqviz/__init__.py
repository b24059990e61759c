"""sdqviz: see how a neural network survives being compressed, with the theory beside the measurement.

Names are loaded on first use, so that ``import sdqviz`` stays light.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from sdqviz.version import __version__

if TYPE_CHECKING:
    from sdqviz.cli.notebook import show
    from sdqviz.compression.block_by_block import compress_to_file
    from sdqviz.compression.compress import Compression, compress, load
    from sdqviz.compression.ladder import ladder
    from sdqviz.compression.runtime import runtime
    from sdqviz.compression.tensor_by_tensor import compress_shards
    from sdqviz.error import InputError, Stopped
    from sdqviz.frames import FRAMES
    from sdqviz.frames.permutations import PERMUTATIONS
    from sdqviz.methods import METHODS
    from sdqviz.networks.catalogue import NETWORKS
    from sdqviz.networks.dataset import Dataset
    from sdqviz.networks.network import Network
    from sdqviz.networks.own_weights import read_dataset, read_weights
    from sdqviz.networks.threads import set_threads
    from sdqviz.pruning.dependency import groups
    from sdqviz.sigma_delta.duals import DUALS
    from sdqviz.sigma_delta.recursion import Pcm, SigmaDelta

# Short kernels of numba alternate with the threads of the FFT and of torch: OpenMP threads that spin while they wait
# take the cores from whoever works (measured: a third of the time). Read when OpenMP loads, hence here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# OpenBLAS too spins after every product, 2^28 cycles, a tenth of a second; 2^22, a millisecond or two, bridge what lies
# between the products of one factorisation. Read when a BLAS is loaded; scipy brings one of its own.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "22")

_HOME = {
    "FRAMES": "sdqviz.frames",
    "PERMUTATIONS": "sdqviz.frames.permutations",
    "METHODS": "sdqviz.methods",
    "groups": "sdqviz.pruning.dependency",
    "DUALS": "sdqviz.sigma_delta.duals",
    "NETWORKS": "sdqviz.networks.catalogue",
    "SigmaDelta": "sdqviz.sigma_delta.recursion",
    "Pcm": "sdqviz.sigma_delta.recursion",
    "Network": "sdqviz.networks.network",
    "Dataset": "sdqviz.networks.dataset",
    "compress": "sdqviz.compression.compress",
    "compress_to_file": "sdqviz.compression.block_by_block",
    "compress_shards": "sdqviz.compression.tensor_by_tensor",
    "load": "sdqviz.compression.compress",
    "show": "sdqviz.cli.notebook",
    "ladder": "sdqviz.compression.ladder",
    "runtime": "sdqviz.compression.runtime",
    "read_dataset": "sdqviz.networks.own_weights",
    "read_weights": "sdqviz.networks.own_weights",
    "set_threads": "sdqviz.networks.threads",
    "Compression": "sdqviz.compression.compress",
    "InputError": "sdqviz.error",
    "Stopped": "sdqviz.error",
}

__all__ = [
    "DUALS",
    "FRAMES",
    "METHODS",
    "NETWORKS",
    "PERMUTATIONS",
    "Compression",
    "Dataset",
    "InputError",
    "Network",
    "Pcm",
    "SigmaDelta",
    "Stopped",
    "__version__",
    "compress",
    "compress_shards",
    "compress_to_file",
    "groups",
    "ladder",
    "load",
    "read_dataset",
    "read_weights",
    "runtime",
    "set_threads",
    "show",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sdqviz' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
