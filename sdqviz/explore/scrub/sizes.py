"""The sizes of a family of frames between which N is dragged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sdqviz.error import InputError
from sdqviz.explore.scrub.scrubbed import spread
from sdqviz.explore.stored import picked
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import Frame

WORK, LARGEST = 1 << 17, 2048
"""N·d and N that the largest frame has at most, unless the page's own is larger."""


def sizes(choices: Mapping[str, Any], frame: Frame) -> list[float]:
    """Return the sizes the page's family has, from its smallest to about four times the page's own."""
    family = type(picked(FRAMES, choices, "frame", "harmonic"))
    dimension, own = frame.dimension, frame.size
    largest = max(own, min(2 ** math.ceil(math.log2(max(4 * own, 8 * dimension))), WORK // dimension, LARGEST))
    found = {float(own)}
    for value in spread(dimension, largest, own, whole=True):
        try:
            found.add(float(family.admissible_size(dimension, int(value))))
        except InputError:
            continue
    return sorted(size for size in found if size <= largest)
