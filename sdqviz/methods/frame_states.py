"""The states that ΣΔ left behind in a compressed layer, rebuilt from what was stored."""

from __future__ import annotations

import numpy as np

from sdqviz.array import Array
from sdqviz.frames import FRAMES
from sdqviz.frames.walk import Walk
from sdqviz.methods.frame_vectors import walk_through
from sdqviz.methods.method import CompressedLayer, join_bias
from sdqviz.storage.bits import unpack_steps


def walk_states(result: CompressedLayer, rows: slice = slice(None)) -> tuple[Walk, Array]:
    """Return the walk of a layer this method compressed and its states u_n, rebuilt from what was stored.

    Parameters
    ----------
    result : CompressedLayer
        The layer.
    rows : slice
        Which of its vectors; all by default.

    Returns
    -------
    walk : Walk
        The geometry of the frame in the order that was used.
    states : ndarray, shape (M, N)
        u_n of each vector; column n is the state after the n-th visit. Of order 0 the rounding errors themselves.
    """
    from sdqviz.networks.layer import to_vectors

    parameters = result.parameters
    walked = walk_through(
        FRAMES.from_dict(parameters["frame"]), parameters["permutation"], parameters["seed"], parameters["signs"]
    )
    vectors = to_vectors(result.layer.weight, result.layer.groups, parameters["axis"])
    if parameters["bias"]:
        vectors = join_bias(vectors, result.layer.bias, result.layer.groups, parameters["axis"])
    step = np.broadcast_to(unpack_steps(result.stored["step"]).reshape(-1, 1), (len(vectors), 1))[rows]
    levels = result.stored["levels"].values[rows].astype(float) - result.levels // 2 + 0.5
    residual = walked.frame.analyze(vectors[rows]) - levels * step
    if walked.order is not None:
        residual = residual[:, walked.order]
    return walked.walk, np.cumsum(residual, axis=1) if parameters["order"] else residual
