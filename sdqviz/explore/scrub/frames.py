"""The Frames page dragged through N."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.explore import frames as explored
from sdqviz.explore.scrub.scrubbed import FEWEST, POINTS, Moving, Scrubbed, Trend, visited
from sdqviz.explore.scrub.sizes import sizes
from sdqviz.explore.wording import number

ALONG = {"size": "N"}
"""What can be dragged, by its name in the link."""


def scrub(choices: Mapping[str, Any]) -> Scrubbed | str:
    """Build the page's family at many N, and walk through each.

    Returns
    -------
    Scrubbed or str
        Or why there is nothing to drag.
    """
    own = explored.build(choices)
    values, runs, left_out = visited(
        sizes(choices, own.frame), own.frame.size, lambda size: explored.build({**choices, "size": int(size)})
    )
    if len(values) < FEWEST:
        return "This family has no other sizes in this dimension."
    plane = _plane(own.frame.vectors[own.order])
    points = [one.frame.vectors[one.order[:POINTS]] @ plane for one in runs]
    limits = np.array([one.wang.value if one.frame.dimension >= 3 else np.nan for one in runs])
    trends = (
        Trend("σ of this order", "compressed", np.array([one.walk.variation for one in runs])),
        Trend("Wang's limit (8)", "bound", limits),
    )
    return Scrubbed(
        "N",
        np.array(values),
        values.index(float(own.frame.size)),
        {
            "variation σ": tuple(number(one.walk.variation) for one in runs),
            "coherence": tuple(number(one.frame.coherence) for one in runs),
            "frame bounds": tuple("{}, {}".format(*map(number, one.frame.bounds)) for one in runs),
        },
        (Moving("tour", "compressed", tuple(p[:, 0] for p in points), tuple(p[:, 1] for p in points)),),
        "first direction",
        "second",
        tuple(one for one in trends if np.isfinite(one.y).any()),
        "length of the tour",
        left_out,
        square=True,
    )


def _plane(vectors: Array) -> Array:
    """Return the two directions, shape (d, 2), in which a tour is slowest: they show most of it."""
    if vectors.shape[1] == 2:
        return np.eye(2)
    slow = np.cumsum(vectors - vectors.mean(axis=0), axis=0)
    _, _, directions = np.linalg.svd(slow - slow.mean(axis=0), full_matrices=False)
    return np.asarray(directions[:2].T)
