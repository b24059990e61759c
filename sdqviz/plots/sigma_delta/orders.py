"""Draws what every order of ΣΔ leaves of a vector: against the bits spent, and where which order is best."""

from __future__ import annotations

import functools

import numpy as np

from sdqviz.bounds.noise_shaping import crossover
from sdqviz.explore.formula import Formula
from sdqviz.explore.orders import BITS, MOST_DIGITS, Orders
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

LOOKS = [theme.COMPRESSED, *(theme.METHODS[name] for name in ("gpfq", "spfq", "gptq", "qronos"))]
FORMULA = Formula(
    r"\frac{\sqrt d\,\mu}{K-\frac12}\,\sin\frac{\pi d}{2N}<\frac{\sqrt d\,\mu}{2K}"
    r"\iff\sin\frac{\pi d}{2N}<\frac12\Bigl(1-\frac1{2K}\Bigr)",
    [("N/d", "from there on order 1 proves more, at 1, 2, 3 bits, and in the limit",
      ", ".join(number(crossover(1, bits)) for bits in (1, 2, 3, None)))],
    "Bounds of order 1 and of order 0, each with its least δ. What is drawn: greedy filter with its Sobolev "
    "dual; δ the smallest that keeps every state in its band; half-frequency or harmonic frame, mean over 8 draws of "
    "signs.",
    text="noise-shaping",
)  # fmt: skip


@functools.lru_cache(maxsize=8)  # it stays the same while N moves
def draw_orders(found: Orders, ink: Ink) -> Panel:
    """Draw the error of every (bits, N) by order with its lower envelope, rounding and β-expansions beside."""
    figure = theme.figure(ink, x="bits an entry, levels alone", y="relative error", height=430)
    figure.update_layout(margin={"t": 88})
    spent, digits = found.bits.ravel(), np.arange(1, MOST_DIGITS + 1)
    for order, look in enumerate(LOOKS):
        errors = found.errors[order].ravel()
        known = np.flatnonzero(~np.isnan(errors))[np.argsort(spent[~np.isnan(errors)], kind="stable")]
        if len(known):
            told = [f"{BITS[place // len(found.ratios)]} bits a level" for place in known]
            figure.add_scatter(
                x=spent[known], y=errors[known], mode="markers", marker=look.marker(ink, 4), opacity=0.5, text=told,
                showlegend=False, hovertemplate=f"order {order}, %{{text}}: %{{y:.3g}}<extra></extra>",
            )  # fmt: skip
            figure.add_scatter(
                x=spent[known], y=np.minimum.accumulate(errors[known]), name=f"order {order}", mode="lines",
                line={**look.line(ink), "shape": "hv"}, hoverinfo="skip",
            )  # fmt: skip
    beside = {"β-expansion": (found.beta, theme.ERROR), "rounding (PCM)": (found.plain, theme.ROUNDING)}
    for name, (values, look) in beside.items():
        figure.add_scatter(
            x=digits, y=values, name=name, mode="lines+markers", line=look.line(ink, 1.2), marker=look.marker(ink, 4)
        )
    low = max(float(np.nanmin(found.errors)) / 30, 1e-9)
    figure.update_xaxes(**theme.log_axis(0.9, 1.1 * spent.max()))
    figure.update_yaxes(**theme.log_axis(low, 2 * float(np.nanmax(found.errors))))
    four = np.nanmin(np.where(found.bits <= 4, found.errors, np.nan), axis=(1, 2))
    return Panel(
        name="orders",
        title="Every order against the bits spent",
        look=f"With at most 4 bits an entry order {int(np.nanargmin(four))} leaves least, {number(np.nanmin(four))}; "
        f"rounding the entries leaves {number(found.plain[3])}, a β-expansion {number(found.beta[3])}: their errors "
        "halve with every bit, those of ΣΔ fall as a power of N.",
        alt="Least errors within 4 bits an entry: "
        + ", ".join(f"order {order} {number(value)}" for order, value in enumerate(four) if np.isfinite(value)) + ".",
        figure=figure,
        formulas=[FORMULA],
        table=lambda: {"bits an entry": spent, "bits a level": np.repeat(BITS, len(found.ratios))}
        | {f"order {order}": errors.ravel() for order, errors in enumerate(found.errors)},
    )  # fmt: skip


@functools.lru_cache(maxsize=8)
def draw_best(found: Orders, ink: Ink) -> Panel:
    """Draw the best order over bits a level and N/d."""
    best, top = found.best, len(LOOKS)
    scale = [[(k + side) / top, look.colour(ink)] for k, look in enumerate(LOOKS) for side in (0, 1)]
    columns, places = [number(ratio) for ratio in found.ratios], np.arange(len(found.ratios))
    figure = theme.figure(ink, x="N/d", y="bits a level", height=430)
    figure.add_heatmap(
        z=best, x=places, y=BITS, customdata=np.tile(columns, (len(BITS), 1)), zmin=-0.5, zmax=top - 0.5,
        colorscale=scale, xgap=2, ygap=2, text=best, texttemplate="%{text}", textfont={"color": "#000000", "size": 14},
        showscale=False, opacity=0.75, hovertemplate="%{y} bits, N = %{customdata} d: order %{z}<extra></extra>",
    )  # fmt: skip
    crossing = np.array([crossover(1, bits) for bits in BITS])
    figure.add_scatter(
        x=np.repeat(np.interp(np.log(crossing), np.log(found.ratios), places), 2),
        y=np.add.outer(BITS, [-0.5, 0.5]).ravel(), mode="lines", line=theme.BOUND.line(ink, 2.5),
        name="right of it order 1 proves more than order 0", hoverinfo="skip", showlegend=True,
    )  # fmt: skip
    figure.update_xaxes(tickvals=places, ticktext=columns, showgrid=False, range=[-0.5, len(places) - 0.5])
    figure.update_yaxes(tickvals=BITS, showgrid=False, range=[BITS[0] - 0.5, BITS[-1] + 0.5])
    higher = found.ratios[(best > 0).any(axis=0)]
    least = f"some order above 0 is best from N = {number(higher.min())} d on" if len(higher) else ""
    told = least or "order 0 is best throughout"
    return Panel(
        name="best-order",
        title="The best order",
        look=f"By bits a level and redundancy: {told}; the bound of order 1 is below that of order 0 right of the "
        f"dashed line, from N = {number(crossing[0])} d at 1 bit and {number(crossing[-1])} d at {BITS[-1]}. At equal "
        "bits the panel beside decides.",
        alt=f"Best order of {best.size} choices: {told}.",
        figure=figure,
        formulas=[FORMULA],
        table=lambda: {"bits a level": np.repeat(BITS, len(columns)), "N/d": np.tile(found.ratios, len(BITS)),
                       "best order": best.ravel(), "bounds cross at N/d": np.repeat(crossing, len(columns))},
    )  # fmt: skip
