"""What the plots of runs say: a point that is pointed at, the front in words and in formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sdqviz.experiments.compare.entry import Entry
from sdqviz.experiments.compare.figures import FIGURES
from sdqviz.experiments.compare.front import Pareto, rounding_verdict
from sdqviz.experiments.compare.published import PAPER, Published
from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import number


def hover(one: Entry) -> str:
    """Write what a point tells when it is pointed at."""
    lines = [f"<b>{one.called}</b>, {one.network}", one.settings.replace(", ", "<br>")]
    for name in ("bits", "accuracy", "error"):
        value, spread = one.values[name], one.spread(name)
        more = "" if math.isnan(spread) else f" ± {FIGURES[name].text(spread)}"
        lines.append(f"{FIGURES[name].title}: {FIGURES[name].text(value)}{more}")
    seeds = f"mean of {len(one.runs)} seeds" if len(one.runs) > 1 else f"seed {one.run.seed}"
    return "<br>".join([*lines, f"{seeds}, {one.origin}"])


def look(info: Pareto, prints: bool) -> str:
    """Say which way is better, which line is which, and where rounding wins."""
    better = "Up and to the left is better" if FIGURES[info.loss].grows else "Down and to the left is better"
    networks = sorted({one.network for one in info.points})
    several = f" Points of {len(networks)} networks share one front here." if len(networks) > 1 else ""
    told = f"{better}. Solid: the front of all methods, dotted: that of rounding. {rounding_verdict(info)}{several}"
    return told + (" Hollow squares: published 1-bit frames, at the bits our widths would cost." if prints else "")


def alt(info: Pareto) -> str:
    """Say how many points there are and from where to where the front runs."""
    if not len(info.front):
        return "0 points to draw."
    loss, size = FIGURES[info.loss], FIGURES[info.size]
    ends = [
        f"{loss.text(info.y[index])} at {size.text(info.x[index])} ({info.points[index].called})"
        for index in (info.front[0], info.front[-1])
    ]
    return (
        f"{len(info.points)} points, {len(info.front)} of them on the front of {loss.title} against {size.title}, "
        f"which runs from {ends[0]} to {ends[1]}. {rounding_verdict(info)}"
    )


def formulas(info: Pareto, prints: Sequence[Published]) -> list[Formula]:
    """Return what a front is, and what published marks cost in our widths."""
    sign = r"\ge" if FIGURES[info.loss].grows else r"\le"
    strict = ">" if FIGURES[info.loss].grows else "<"
    found = [
        Formula(
            rf"i\text{{ is on the front}}\iff\nexists j:\;s_j\le s_i,\;\ell_j{sign}\ell_i,"
            rf"\;(s_j<s_i\ \text{{or}}\ \ell_j{strict}\ell_i)",
            [
                ("s", FIGURES[info.size].title, ""),
                (r"\ell", FIGURES[info.loss].title, ""),
                ("n", "points", str(len(info.points))),
                (r"\lvert\text{front}\rvert", "points on the front", str(len(info.front))),
            ],
            "Measured runs only: the front says what was found, not what is possible. A front of averages over seeds "
            "is fairer than one of single runs, which keeps the luckiest.",
        )
    ]
    if prints:
        first = prints[0]
        found.append(
            Formula(
                r"b=N\,\frac{\sum_\ell c_\ell}{\sum_\ell d_\ell c_\ell}",
                [
                    ("N", "frame size, one-bit levels a column", str(first.size)),
                    (
                        r"d_\ell\times c_\ell",
                        "weights of a layer, with our widths; the paper does not print its own",
                        "",
                    ),
                    ("b", "bits per original weight at that N", number(first.bits)),
                ],
                f"{PAPER}, Tables 3 and 4: mean and standard deviation over 10 networks, as printed.",
            )
        )
    return found
