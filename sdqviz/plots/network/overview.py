"""The panels of the Network page in their order."""

from __future__ import annotations

from sdqviz.bounds.ladder import Ladder
from sdqviz.bounds.statement import Bound
from sdqviz.compression.guarantee import path_layer_bound
from sdqviz.explore.network.feedback import feedback
from sdqviz.explore.rounding_beside import Comparison
from sdqviz.explore.what_if import Answer
from sdqviz.plots.network.bounds import draw_layer_bounds, draw_output_bounds
from sdqviz.plots.network.bytes import draw_bytes
from sdqviz.plots.network.feedback import draw_feedback
from sdqviz.plots.network.histograms import draw_histograms
from sdqviz.plots.network.images import draw_flips
from sdqviz.plots.network.vector import draw_vector
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def overview(found: Comparison, asked: Answer | None, layer: str, ladder: Ladder | None, ink: Ink) -> list[Panel]:
    """Return the panels below the first: bounds and bytes."""
    bounds: tuple[Bound, ...] = ()
    measured = found.report.inputs > 0
    whole = asked.bounds if asked is not None else ()
    if asked is not None:
        item = asked.layer(layer)
        bounds = item.bounds if item.path is None else (path_layer_bound(item),)
    return [
        draw_layer_bounds(found.report, ink, bounds),
        *([draw_output_bounds(found.report, ink, whole, ladder)] if measured else []),
        draw_bytes(found, ink),
    ]


def closely(asked: Answer, layer: str, which: str, ink: Ink) -> list[Panel]:
    """Return the panels that look into one layer, and the images whose prediction changed."""
    flips = draw_flips(asked, ink)
    panels = [draw_histograms(asked, layer, ink), draw_vector(asked, layer, which, ink)]
    filtered = feedback(asked, layer)
    if filtered is not None:
        panels.append(draw_feedback(filtered, layer, ink))
    return panels if flips is None else [*panels, flips]
