"""The Bounds page dragged through the bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.explore.bounds import link, words
from sdqviz.explore.curves import SUBJECTS
from sdqviz.explore.curves.curve import Sweep
from sdqviz.explore.curves.walk import ROUNDING
from sdqviz.explore.scrub.scrubbed import FEWEST, WITHIN, Moving, Scrubbed, Trend, visited

ALONG = {"bits": "bits"}
"""What can be dragged, by its name in the link."""

MOST_BITS = 12
"""Bits beyond which nothing new is seen."""


def along(choices: Mapping[str, Any]) -> dict[str, str]:
    """Return what can be dragged: nothing where bits are what is swept, or where each number of them takes seconds."""
    cls = SUBJECTS[choices["subject"]]
    swept = cls.axes.get(str(choices.get("sweep", next(iter(cls.axes)))))
    free = "bits" in cls.specs() and swept is not None and "bits" not in swept.names
    return ALONG if free and cls.name != "network" else {}


def at(sweep: Sweep, bits: int) -> Sweep:
    """Return the page's sweep with other bits."""
    return dataclasses.replace(sweep, subject=SUBJECTS.from_dict(sweep.subject.to_dict() | {"bits": bits}))


def scrub(choices: Mapping[str, Any]) -> Scrubbed | str:
    """Run the page's sweep at every number of bits.

    Returns
    -------
    Scrubbed or str
        Or why there is nothing to drag.
    """
    sweep = link.asked(choices)
    subject = sweep.subject
    spec = subject.specs()["bits"]
    own: int = subject.to_dict()["bits"]
    wanted = sorted({own, *range(int(spec.minimum or 1), int(min(spec.maximum or MOST_BITS, MOST_BITS)) + 1)})
    seconds = sweep.estimated_seconds() * len(wanted)
    if seconds > 2 * WITHIN:
        return f"All bits together would take about {seconds:.0f} s; take fewer points, or a smaller subject."
    values, curves, left_out = visited(wanted, own, lambda bits: at(sweep, int(bits)).run())
    if len(values) < FEWEST:
        return "There are no other bits here."
    x = tuple(one.x for one in curves)
    moving = [Moving("measured", "error", x, tuple(one.median for one in curves))]
    for name in dict.fromkeys(name for one in curves for name in words.shown_beside(one, False)):
        y = tuple(np.median(one.beside[name], axis=1) for one in curves)
        plain = name == ROUNDING
        moving.append(Moving("rounding (PCM)" if plain else name, "rounding" if plain else "original", x, y))
    moving.append(Moving("tightest bound", "bound", x, tuple(one.tightest for one in curves)))
    return Scrubbed(
        "bits",
        np.array(values, float),
        values.index(own),
        {
            "fitted slope": tuple(words.slope_value(one.fit) for one in curves),
            "bound / measured": tuple(words.ratio_headline(one)[0] for one in curves),
            "violations": tuple(words.verdict(one)[0] for one in curves),
        },
        tuple(moving),
        curves[0].axis.title,
        curves[0].setting.error_title,
        (
            Trend("measured, last point", "error", np.array([one.median[-1] for one in curves])),
            Trend("tightest bound, last point", "bound", np.array([one.tightest[-1] for one in curves])),
        ),
        "at the last point",
        left_out,
        powers=True,
    )
