"""Draws a frame: its vectors, its Gram matrix, the tour of an ordering, all orderings compared, σ against N."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.bounds.vector import CZAJA_NA, Bound, Walk, wang_variation, wang_variation_bound
from sdqviz.error import InputError
from sdqviz.explore.stored import picked
from sdqviz.explore.wording import number
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import Frame, FrameChoice
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.plots import theme
from sdqviz.plots.panel import Formula, Panel
from sdqviz.plots.theme import Ink

GRAM_CELLS = 96
"""Rows and columns of the drawn Gram matrix; each cell of a larger one shows its largest |⟨e_m,e_n⟩|."""

GRAM_LIMIT = 4096
"""Frame vectors up to which the coherence is computed from all pairs."""

COMPARED_WITHIN = 1.0
"""Seconds each ordering may take in the comparison."""

COMPARED_UP_TO = 512
"""Frame size up to which orderings are compared without being asked for."""


@dataclasses.dataclass(frozen=True, eq=False)
class FrameInfo:
    """What the page shows of one frame and one ordering.

    Attributes
    ----------
    choice : FrameChoice
        What was asked for.
    frame : Frame
        The frame.
    order : ndarray of int, shape (N,)
        The ordering p.
    walk : Walk
        Its geometry.
    steps : ndarray, shape (N−1,)
        ‖e_{p(n)} − e_{p(n+1)}‖.
    gram : ndarray, shape (m, m)
        |⟨e_m,e_n⟩| in the order as written, reduced by maxima to at most `GRAM_CELLS` a side.
    """

    choice: FrameChoice
    frame: Frame
    order: Index
    walk: Walk
    steps: Array
    gram: Array

    @property
    def wang(self) -> Bound:
        """Bound (8) with the ratio."""
        return wang_variation_bound(self.walk)


def build(choices: Mapping[str, Any]) -> FrameInfo:
    """Compute what the parameters of the page's link describe."""
    seed = int(choices.get("seed", 0))
    choice = picked(FRAMES, choices, "frame", "harmonic")
    ordering = picked(PERMUTATIONS, choices, "permutation", "identity", "permutation_")
    return info(choice, ordering.order(_built(choice, seed), seed), seed)


@functools.lru_cache(maxsize=16)
def _built(choice: FrameChoice, seed: int) -> Frame:
    return choice.build(seed)


@functools.lru_cache(maxsize=1024)
def _written(choice: FrameChoice, seed: int) -> float:
    """Return σ of the order as written; kept, because the trend against N asks for the same sizes again."""
    return choice.build(seed).variation()


def info(choice: FrameChoice, order: Index, seed: int = 0) -> FrameInfo:
    """Compute what the page shows of a frame walked in an order."""
    frame = _built(choice, seed)
    return FrameInfo(choice, frame, order, Walk.of(frame, order), frame.steps_along(order), gram_info(frame))


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline numbers for the parameters of the page's link."""
    found = build(choices)
    return {
        "lower_bound": found.frame.bounds[0],
        "upper_bound": found.frame.bounds[1],
        "coherence": found.frame.coherence,
        "variation": found.walk.variation,
        "wang_limit": wang_variation(found.frame.dimension, found.frame.size),
        "wang_holds": found.wang.holds,
    }


def gram_info(frame: Frame) -> Array:
    """Return |⟨e_m,e_n⟩|, reduced by maxima over square blocks to at most `GRAM_CELLS` a side."""
    if frame.size > GRAM_LIMIT:
        raise InputError(f"size must be at most {GRAM_LIMIT} for a Gram matrix, got {frame.size}")
    block = -(-frame.size // GRAM_CELLS)
    starts = np.arange(0, frame.size, block)
    rows = []
    for start in starts:
        products = np.abs(frame.vectors[start : start + block] @ frame.vectors.T).max(axis=0)
        rows.append(np.maximum.reduceat(products, starts))
    return np.array(rows)


@dataclasses.dataclass(frozen=True)
class Ordered:
    """One ordering in the comparison.

    Attributes
    ----------
    name, title : str
        The ordering.
    variation : float
        σ(F, p).
    ratio : float or None
        σ over the Wang bound (8); None for d < 3, where it says nothing.
    seconds : float
        Time it took.
    """

    name: str
    title: str
    variation: float
    ratio: float | None
    seconds: float


def compare_orderings(choices: Mapping[str, Any]) -> tuple[Ordered, ...]:
    """Walk through the frame in every registered ordering, each within `COMPARED_WITHIN` seconds, shortest first."""
    seed = int(choices.get("seed", 0))
    frame = _built(picked(FRAMES, choices, "frame", "harmonic"), seed)
    limit = wang_variation(frame.dimension, frame.size) if frame.dimension >= 3 else None
    found = []
    for name in sorted(PERMUTATIONS):
        cls = PERMUTATIONS[name]
        begun = time.monotonic()
        given = {"seconds": COMPARED_WITHIN} if "seconds" in cls.specs() else {}
        variation = frame.variation(cls(**given).order(frame, seed))
        ratio = variation / limit if limit else None
        found.append(Ordered(name, cls.title, variation, ratio, time.monotonic() - begun))
    return tuple(sorted(found, key=lambda one: one.variation))


@dataclasses.dataclass(frozen=True, eq=False)
class Growth:
    """σ of one family against N.

    Attributes
    ----------
    size : ndarray of int, shape (m,)
        N.
    variation : ndarray, shape (m,)
        σ of the order as written.
    limit : ndarray, shape (m,)
        Wang's limit (8) for the best order; NaN for d < 3.
    """

    size: Array
    variation: Array
    limit: Array


def growth(choices: Mapping[str, Any]) -> Growth:
    """Compute σ in the order as written for about a dozen sizes of the family, up to 4 times the shown N."""
    seed = int(choices.get("seed", 0))
    choice = picked(FRAMES, choices, "frame", "harmonic")
    d = choice.dimension
    top = min(2 ** math.ceil(math.log2(max(4 * choice.size, 8 * d))), 2048)  # the same for many N, so results are kept
    sizes: list[int] = []
    for at_least in np.unique(np.geomspace(d, top, 14).round().astype(int)):
        try:
            sizes.append(type(choice).admissible_size(d, int(at_least)))
        except InputError:
            continue
    sizes = sorted({size for size in sizes if size <= GRAM_LIMIT} | {choice.size})
    variation = [_written(dataclasses.replace(choice, size=size), seed) for size in sizes]
    limit = [wang_variation(d, size) if d >= 3 else np.nan for size in sizes]
    return Growth(np.array(sizes), np.array(variation), np.array(limit))


def projected(found: FrameInfo) -> tuple[Array, str]:
    """Return the vectors along the order in two or three dimensions, and how they got there.

    Above three dimensions the two directions are the left singular vectors of the summed walk that
    carry most of it: what a slow tour looks like from its best side.
    """
    vectors = found.frame.vectors[found.order]
    d = found.frame.dimension
    if d == 1:
        return np.concatenate([vectors, np.zeros_like(vectors)], axis=1), "one line"
    if d <= 3:
        return np.array(vectors), f"in all {d} dimensions"
    slow = np.cumsum(vectors - vectors.mean(axis=0), axis=0)
    _, _, directions = np.linalg.svd(slow - slow.mean(axis=0), full_matrices=False)
    return vectors @ directions[:2].T, f"projected from {d} dimensions on the plane in which the tour is slowest"


def code(choices: Mapping[str, Any], found: FrameInfo) -> str:
    """Return the lines that compute the page's numbers."""
    family = found.choice.to_dict()
    walk = picked(PERMUTATIONS, choices, "permutation", "identity", "permutation_").to_dict()

    def call(registry: str, values: dict[str, Any]) -> str:
        name = values.pop("name")
        return f"sq.{registry}[{name!r}]({', '.join(f'{k}={v!r}' for k, v in values.items())})"

    return f"""import sdqviz as sq

frame = {call("FRAMES", family)}.build(seed={choices["seed"]})
order = {call("PERMUTATIONS", walk)}.order(frame, seed={choices["seed"]})
frame.bounds              # {found.frame.bounds}
frame.tightness           # {found.frame.tightness:.3g}
frame.coherence           # {found.frame.coherence:.6g}
frame.variation(order)    # {found.walk.variation:.6g}"""


# -- draw ---------------------------------------------------------------------------------------------


def draw_tour(found: FrameInfo, ink: Ink) -> Panel:
    """Draw the vectors and the tour through them, coloured by the step."""
    points, how = projected(found)
    solid = points.shape[1] == 3
    size = found.frame.size
    figure = theme.figure(ink, height=420)
    kept = np.arange(size) if size <= theme.DRAWN else np.arange(0, size, -(-size // theme.DRAWN))
    shown = points[kept]
    flat = (theme.seen(shown, 0.0) if solid else shown).astype(np.float32)
    if solid:
        theme.draw_sphere(figure, 1.0, ink)
    bar = {"title": {"text": "step n", "font": {"size": 12}}, "thickness": 10, "len": 0.7, "outlinewidth": 0, "x": 1.0}
    figure.add_scatter(
        x=flat[:, 0],
        y=flat[:, 1],
        mode="lines+markers",
        name="frame vector",
        showlegend=False,
        line={"color": theme.ORIGINAL.colour(ink) if size <= 60 else ink.faint, "width": 1.2},
        marker={
            "size": 8 if size <= 100 else 5,
            "color": (kept + 1).astype(np.int32),
            "colorscale": theme.DENSITY,
            "showscale": True,
            "colorbar": bar,
            "line": {"width": 0.5, "color": ink.text},
        },
        customdata=found.order[kept].astype(np.int32),
        hovertemplate="frame vector %{customdata}<extra></extra>",
    )
    if solid:
        theme.turn(figure, {len(figure.data) - 1: shown}, ink)
    else:
        square = {"scaleanchor": "x", "scaleratio": 1}
        first = found.frame.dimension <= 2
        figure.update_xaxes(title_text="first coordinate" if first else "first direction")
        figure.update_yaxes(title_text="second coordinate" if first else "second direction", **square)
    figure.update_layout(margin={"r": 70})
    if len(kept) < size:
        theme.mark_decimation(figure, size, len(kept), ink)
    return Panel(
        name="tour",
        title="The vectors and the tour through them",
        look=f"ΣΔ visits the vectors in the order of the colours; a short tour means small errors. Drawn {how}.",
        alt=f"{size} frame vectors in {found.frame.dimension} dimensions, {how}, joined in the order of the "
        f"walk. The tour "
        f"has length {number(found.walk.variation)}, {number(float(found.steps.mean()))} a step on average.",
        figure=figure,
        formulas=[_variation_formula(found)],
        table=lambda: {
            "n": np.arange(1, size + 1),
            "frame_vector": found.order,
            **{f"direction_{k + 1}": points[:, k] for k in range(points.shape[1])},
        },
    )


def _variation_formula(found: FrameInfo) -> Formula:
    return Formula(
        r"\sigma(F,p)=\sum_{n=1}^{N-1}\|e_{p(n)}-e_{p(n+1)}\|",
        [
            (r"\sigma(F,p)", "frame variation now", number(found.walk.variation)),
            ("N", "frame vectors", str(found.frame.size)),
            ("d", "dimension", str(found.frame.dimension)),
            (r"\|\Delta E\|_2", "spectral norm of all differences", number(found.walk.difference_norm)),
        ],
        f"{CZAJA_NA}, Definition 3.1; Benedetto, Powell & Yılmaz (2006)",
    )


def draw_running(found: FrameInfo, ink: Ink) -> Panel:
    """Draw σ as a running sum along the walk, under Wang's limit."""
    total = np.concatenate([[0.0], np.cumsum(found.steps)])
    n = np.arange(1, len(total) + 1)
    at = theme.decimate(total)
    figure = theme.figure(ink, x="step n along the walk", y="length walked so far", height=340)
    figure.add_scatter(
        x=n[at], y=total[at].astype(np.float32), mode="lines", name="σ so far", line=theme.COMPRESSED.line(ink, 2)
    )
    bound = found.wang
    applies = found.frame.dimension >= 3
    near = applies and bound.value < 2.5 * total[-1]
    if near:
        figure.add_hline(bound.value, line=theme.BOUND.line(ink, 1.5))
    if applies:
        where = {"y": bound.value, "yshift": 9} if near else {"y": 1, "yref": "paper", "yanchor": "bottom"}
        figure.add_annotation(
            text=f"Wang's limit (8): {number(bound.value)}" + ("" if near else ", far above this picture"),
            x=0.01, xref="paper", showarrow=False, xanchor="left", font={"size": 12, "color": ink.text}, **where,
        )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    theme.mark_decimation(figure, len(total), len(at), ink)
    ratio = found.walk.variation / bound.value if applies else None
    fits = f"{number(ratio)} of Wang's limit" if ratio is not None else "Wang's limit speaks of d ≥ 3 only"
    return Panel(
        name="variation",
        title="Frame variation as a running sum",
        look=f"The total, {number(found.walk.variation)}, enters the error bound: {fits}.",
        alt=f"The length of the tour grows to {number(found.walk.variation)} over {found.frame.size} vectors; {fits}.",
        figure=figure,
        formulas=[
            _variation_formula(found),
            Formula(
                bound.formula,
                [],
                f"{bound.reference}. {bound.because}",
                bound.substituted if applies else "",
                bound.text,
            ),
        ],
        table=lambda: {"n": n, "frame_vector": found.order, "length": total},
    )


def draw_gram(found: FrameInfo, ink: Ink) -> Panel:
    """Draw the Gram matrix as a heat map."""
    gram, size = found.gram, found.frame.size
    block = -(-size // GRAM_CELLS)
    axis = (np.arange(len(gram)) * block).astype(np.int32)
    figure = theme.figure(
        ink, x="frame vector m", y="frame vector n", height=420, margin={"l": 62, "r": 90, "t": 30, "b": 44}
    )
    figure.add_heatmap(
        z=gram.astype(np.float32),
        x=axis,
        y=axis,
        zmin=0,
        zmax=1,
        colorscale=theme.DENSITY,
        colorbar={"title": {"text": "|⟨eₘ,eₙ⟩|"}, "thickness": 10, "outlinewidth": 0, "len": 0.8},
        hovertemplate="|⟨e%{x}, e%{y}⟩| = %{z:.3f}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", scaleanchor="x", scaleratio=1, constrain="domain", showgrid=False)
    figure.update_xaxes(constrain="domain", showgrid=False)
    reduced = f" Each cell shows the largest of {block} by {block} products." if block > 1 else ""
    coherence = found.frame.coherence
    return Panel(
        name="gram",
        title="How alike the vectors are",
        look="Bright off the diagonal: vectors that nearly repeat each other." + reduced,
        alt=f"Gram matrix of {size} vectors. Off the diagonal the largest absolute inner product is "
        f"{number(coherence)}.",
        figure=figure,
        formulas=[
            Formula(
                r"\mu=\max_{m\ne n}\frac{|\langle e_m,e_n\rangle|}{\|e_m\|\,\|e_n\|}\ \ge\ \sqrt{\frac{N-d}{d\,(N-1)}}",
                [
                    (r"\mu", "coherence now", number(coherence)),
                    (
                        r"\sqrt{(N-d)/(d(N-1))}",
                        "the least any N unit vectors can have",
                        number(welch(found.frame.dimension, size)),
                    ),
                ],
                "Welch, IEEE Trans. Inf. Theory 20 (1974)",
            )
        ],
        table=lambda: {f"block_{axis[k]}": gram[k] for k in range(len(gram))},
    )


def welch(dimension: int, size: int) -> float:
    """Return Welch's lower bound on the coherence of N unit vectors in R^d.

    Examples
    --------
    >>> round(welch(3, 4), 6)
    0.333333
    """
    return float(np.sqrt(max(size - dimension, 0) / (dimension * max(size - 1, 1))))


def draw_orderings(found: FrameInfo, compared: tuple[Ordered, ...], current: str, ink: Ink) -> Panel:
    """Draw σ of every ordering as bars beside Wang's limit."""
    figure = theme.figure(ink, x="frame variation σ(F, p)", height=330, margin={"l": 185, "r": 12, "t": 34, "b": 44})
    shown = compared[::-1]
    figure.add_bar(
        y=[one.title for one in shown],
        x=[one.variation for one in shown],
        orientation="h",
        name="σ",
        showlegend=False,
        text=[
            f"{number(one.variation)}" + (f"  ({number(one.ratio)} of the limit)" if one.ratio else "") for one in shown
        ],
        textposition="outside",
        textfont={"size": 12, "color": ink.text},
        cliponaxis=False,
        marker={
            "color": [(theme.COMPRESSED if one.name == current else theme.ORIGINAL).colour(ink) for one in shown],
            "line": {"width": 0},
        },
    )
    best, worst = compared[0], compared[-1]
    applies = found.frame.dimension >= 3
    limit = wang_variation(found.frame.dimension, found.frame.size) if applies else 0.0
    if applies:
        figure.add_vline(limit, line=theme.BOUND.line(ink, 1.5), layer="below")
        figure.add_annotation(
            text="Wang's limit (8)",
            x=limit,
            xanchor="right",
            y=1.0,
            yref="paper",
            yanchor="bottom",
            showarrow=False,
            font={"size": 12},
        )
    figure.update_yaxes(showgrid=False)
    figure.update_xaxes(range=[0, max(1.75 * worst.variation, 1.1 * limit)])
    gain = worst.variation / best.variation if best.variation else float("inf")
    tail = "" if applies else " Wang's limit (8) is not applicable: it needs d ≥ 3."
    return Panel(
        name="orderings",
        title="All orderings of this frame",
        look=f"{best.title} walks {number(gain)} times less than {worst.title.lower()}; blue is the ordering "
        f"chosen.{tail}",
        alt=f"Frame variation of {len(compared)} orderings, from {number(best.variation)} ({best.title}) to "
        f"{number(worst.variation)} ({worst.title}).{tail}",
        figure=figure,
        formulas=[
            Formula(
                found.wang.formula,
                [("d", "dimension", str(found.frame.dimension)), ("N", "frame vectors", str(found.frame.size))],
                f"{found.wang.reference}. Each ordering had at most {COMPARED_WITHIN:g} s.",
                found.wang.substituted if applies else "",
                found.wang.text,
            )
        ],
        table=lambda: {
            "ordering": np.array([one.name for one in compared]),
            "variation": np.array([one.variation for one in compared]),
            "ratio_to_wang": np.array([np.nan if one.ratio is None else one.ratio for one in compared]),
            "seconds": np.array([one.seconds for one in compared]),
        },
    )


def draw_growth(found: FrameInfo, grown: Growth, ink: Ink) -> Panel:
    """Draw σ of the order as written against N."""
    figure = theme.figure(ink, x="frame size N", y="frame variation σ", height=340)
    figure.add_scatter(
        x=grown.size, y=grown.variation, mode="lines+markers", name="as written",
        line=theme.COMPRESSED.line(ink, 2), marker=theme.COMPRESSED.marker(ink, 6),
    )  # fmt: skip
    applies = found.frame.dimension >= 3
    if applies:
        figure.add_scatter(
            x=grown.size, y=grown.limit, mode="lines", name="Wang's limit (8)", line=theme.BOUND.line(ink)
        )
    figure.add_scatter(
        x=[found.frame.size], y=[found.walk.variation], mode="markers", name="now, in the order chosen",
        marker={"symbol": "circle-open", "size": 13, "color": theme.ERROR.colour(ink), "line": {"width": 2.5}},
    )  # fmt: skip
    figure.update_xaxes(theme.log_axis(grown.size.min() / 1.15, grown.size.max() * 1.15))
    heights = np.concatenate([grown.variation, grown.limit[np.isfinite(grown.limit)], [found.walk.variation]])
    figure.update_yaxes(theme.log_axis(max(heights[heights > 0].min(), 1e-9) / 1.5, heights.max() * 1.5))
    slope = (
        float(np.polyfit(np.log(grown.size), np.log(np.maximum(grown.variation, 1e-12)), 1)[0])
        if len(grown.size) > 2
        else 0.0
    )
    meaning = (
        "σ levels off, so the error bound falls like 1/N"
        if slope < 0.35
        else "σ grows with N, so more vectors buy little"
    )
    if len(grown.size) <= 2:
        meaning = "this family has too few sizes in this dimension to see a trend"
    return Panel(
        name="growth",
        title="What more vectors cost",
        look=f"In the order as written {meaning}.",
        alt=f"Frame variation against size from {int(grown.size[0])} to {int(grown.size[-1])}: from "
        f"{number(float(grown.variation[0]))} to {number(float(grown.variation[-1]))}; {meaning}.",
        figure=figure,
        formulas=[
            Formula(
                r"\|x-\tilde x\|\le\frac{\delta d}{2N}\bigl(\sigma(F,p)+1\bigr)",
                [("N^s", "fitted growth of σ, exponent s", number(slope))],
                f"{CZAJA_NA}, Theorem 3.1: a σ that stays bounded gives an error of order 1/N.",
                "",
                "vector-bound",
            )
        ],
        table=lambda: {"size": grown.size, "variation": grown.variation, "wang_limit": grown.limit},
    )
