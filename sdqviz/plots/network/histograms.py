"""Draws the weights of a layer before and after, in common bins."""

from __future__ import annotations

from sdqviz.explore.network import formulas
from sdqviz.explore.network.histogram import histogram_info
from sdqviz.explore.network.words import bits_text, title_of
from sdqviz.explore.what_if import Answer
from sdqviz.explore.wording import percent
from sdqviz.plots import theme
from sdqviz.plots.network.looks import look_of
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_histograms(asked: Answer, name: str, ink: Ink) -> Panel:
    """Draw the distribution of a layer's weights before, after and after plain rounding, on shared axes."""
    info = histogram_info(asked, name)
    report = asked.comparison.report
    row = next(one for one in report.layers if one.name == name)
    figure = theme.panes(ink, height=430, rows=3, shared_yaxes="all", vertical_spacing=0.05)
    figure.update_layout(showlegend=False, margin={"t": 8}, bargap=0)
    centres = (info.edges[:-1] + info.edges[1:]) / 2
    beside = asked.comparison.rounding
    for place, (values, title, one) in enumerate(
        (
            (info.before, "original", theme.ORIGINAL),
            (info.after, title_of(report), look_of(report)),
            (info.rounded, f"rounding, {bits_text(beside)}, {beside.best_fit}", theme.ROUNDING),
        ),
        start=1,
    ):
        figure.add_bar(
            x=centres, y=values, name=title, marker={"color": one.colour(ink), "line": {"width": 0}},
            hovertemplate="near %{x:.3g}: %{y} weights<extra></extra>", row=place, col=1,
        )  # fmt: skip
        theme.pane_title(figure, title, place, 1, ink, inside=True)
    most = max(int(part.max()) for part in (info.before, info.after, info.rounded))
    figure.update_yaxes(**theme.log_axis(0.5, 1.6 * most))
    figure.update_yaxes(title_text="weights", row=2, col=1)
    figure.update_xaxes(title_text="value of the weight", row=3, col=1)
    return Panel(
        name="histogram",
        title=f"{name}: weights before and after",
        look="The same bins and axes for all three: look at the tails, and at the gap rounding leaves at zero.",
        alt=f"Histograms of the {row.weights:,} weights of layer {name}: original, compressed, and rounded to "
        f"{2**beside.bits} levels. The compressed weights differ from the original by {percent(row.weight_error)}.",
        figure=figure,
        formulas=[formulas.weight_error(row)],
        table=lambda: {
            "from": info.edges[:-1],
            "to": info.edges[1:],
            "original": info.before,
            "compressed": info.after,
            "rounded": info.rounded,
        },
    )
