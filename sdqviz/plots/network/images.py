"""Draws the test images whose prediction changed when a network was compressed."""

from __future__ import annotations

import dataclasses

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array, Index
from sdqviz.explore.formula import Formula
from sdqviz.explore.network.words import accuracy
from sdqviz.explore.what_if import Answer
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

DRAWN_IMAGES = 24
"""Test images drawn; the page says how many there are."""


TILES = 8
"""Images in a row."""


@dataclasses.dataclass(frozen=True, eq=False)
class Flips:
    """Test images whose predicted class changed.

    Attributes
    ----------
    index, label, before, after : ndarray of int, shape (n,)
        Position in the test set, true class, and both predictions; all that changed.
    images : ndarray, shape (k, height, width) or (k, height, width, 3)
        The first k, values in [0, 1]; k is 0 where inputs are not images.
    total : int
        Size of the test set.
    """

    index: Index
    label: Index
    before: Index
    after: Index
    images: Array
    total: int

    @property
    def lost(self) -> int:
        """How many were right and became wrong."""
        return int((self.before == self.label).sum())

    @property
    def won(self) -> int:
        """How many were wrong and became right."""
        return int((self.after == self.label).sum())


def flips_info(asked: Answer) -> Flips | None:
    """Collect the changed predictions and the first images; None for a network without test data."""
    dataset = asked.compression.original.dataset
    if dataset is None:
        return None
    index = asked.changed
    before, after = asked.compression.original.predictions(), asked.compression.network.predictions()
    right = dataset.test_labels[index]
    index = index[both_kinds(before[index] == right, after[index] == right)]
    inputs = dataset.test_inputs[index[:DRAWN_IMAGES]]
    images = np.zeros((0, 1, 1))
    if inputs.ndim == 4 and inputs.shape[1] in (1, 3):
        images = inputs[:, 0] if inputs.shape[1] == 1 else inputs.transpose(0, 2, 3, 1)
        low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 1.0)
        images = (images - low) / max(high - low, 1e-12)
    return Flips(index, dataset.test_labels[index], before[index], after[index], images, dataset.test_size)


def both_kinds(lost: Array, won: Array, count: int = DRAWN_IMAGES) -> Index:
    """Return an order whose first ``count`` hold both what was lost and what was won, as evenly as there are any.

    Examples
    --------
    >>> both_kinds(np.array([True, True, True, False]), np.array([False, False, False, True]), 2).tolist()
    [0, 3, 1, 2]
    """
    losses, wins = np.flatnonzero(lost), np.flatnonzero(won)
    first = min(len(losses), max(count // 2, count - len(wins)))
    second = min(len(wins), count - first)
    rest = np.flatnonzero(~(lost | won))
    return np.concatenate([losses[:first], wins[:second], losses[first:], wins[second:], rest])


def _tiles(figure: go.Figure, info: Flips, rows: int, ink: Ink) -> None:
    """Draw the images in rows, each with its true class and both predictions in the colour of its kind."""
    height, width = info.images.shape[1:3]
    tall, wide = height + 11, width + 4
    canvas = np.full((rows * tall, TILES * wide, *info.images.shape[3:]), np.nan)
    for place, image in enumerate(info.images):
        top, left = tall * (place // TILES), wide * (place % TILES)
        canvas[top : top + height, left : left + width] = image
    if canvas.ndim == 2:
        figure.add_heatmap(
            z=(canvas * 255).astype(np.float32), zmin=0, zmax=255, colorscale="Greys", reversescale=True,
            showscale=False, hoverinfo="skip", hoverongaps=False,
        )  # fmt: skip
    else:
        ground = np.array([23, 22, 20] if ink.dark else [255, 255, 255], float)
        filled = np.where(np.isnan(canvas), ground, canvas * 255)
        figure.add_image(z=filled.astype(np.uint8), hoverinfo="skip")
    for place in range(len(info.images)):
        right_before = info.before[place] == info.label[place]
        right_after = info.after[place] == info.label[place]
        one = theme.ERROR if right_before else theme.COMPRESSED if right_after else theme.ORIGINAL
        figure.add_annotation(
            x=wide * (place % TILES) + width / 2 - 0.5, y=tall * (place // TILES) + height + 4.5, showarrow=False,
            text=f"<b>{info.label[place]}</b>: {info.before[place]} → {info.after[place]}",
            font={"size": 13, "color": one.words(ink)},
        )  # fmt: skip
    figure.update_xaxes(visible=False, range=[-0.5, TILES * wide - 4.5], fixedrange=True)
    figure.update_yaxes(
        visible=False,
        range=[rows * tall - 0.5, -0.5],
        fixedrange=True,
        scaleanchor="x",
        constrain="domain",
        constraintoward="top",
    )


def draw_flips(asked: Answer, ink: Ink) -> Panel | None:
    """Draw the test images whose prediction changed, each with its true class and both predictions."""
    info = flips_info(asked)
    if info is None:
        return None
    count, shown = len(info.index), len(info.images)
    rows = max(1, -(-shown // TILES))
    figure = theme.figure(ink, height=10 + 136 * rows if shown else 120)
    if shown:
        _tiles(figure, info, rows, ink)
    else:
        text = (
            "No prediction changed."
            if not count
            else "The inputs of this network are not images; the table lists them."
        )
        figure.add_annotation(
            text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 14, "color": ink.text}
        )
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False)
    figure.update_layout(margin={"t": 4, "b": 4, "l": 4, "r": 4})
    other = count - info.lost - info.won
    drawn = f" {shown} of {count:,} are drawn, of both kinds where there are any." if 0 < shown < count else ""
    return Panel(
        name="changed",
        title=f"Test images whose prediction changed: {count:,} of {info.total:,}",
        look=f"True class in bold, then the prediction before → after. {info.lost:,} became wrong (vermillion), "
        f"{info.won:,} became right (blue), {other:,} went from one wrong class to another (grey).{drawn}",
        alt=f"{count} of {info.total} predictions changed: {info.lost} became wrong, {info.won} became right, "
        f"{other} from wrong to wrong. "
        + ", ".join(
            f"a {label} was taken for {before}, now for {after}"
            for label, before, after in zip(info.label[:6], info.before[:6], info.after[:6], strict=True)
        ),
        figure=figure,
        formulas=[
            Formula(
                r"\hat y(x)=\arg\max_k f_k(x)",
                [
                    (r"f", "accuracy before", accuracy(asked.comparison.report.accuracy_before)),
                    (r"f_Q", "accuracy after", accuracy(asked.comparison.report.accuracy_after)),
                    (r"\hat y\ne\hat y_Q", "predictions that changed", f"{count:,} of {info.total:,}"),
                ],
                "All test inputs are run through both networks.",
            )
        ],
        table=lambda: {
            "test image": info.index,
            "true class": info.label,
            "before": info.before,
            "after": info.after,
        },
    )
