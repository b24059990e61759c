"""A formula with the current numbers put in: its symbols, its source and its proof."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sdqviz.bounds.statement import Bound


@dataclasses.dataclass(frozen=True, eq=False)
class Formula:
    """The formula behind a plot, with the current numbers put in.

    Attributes
    ----------
    latex : str
        The formula, LaTeX without dollar signs.
    symbols : sequence of (symbol, meaning, value)
        Each symbol (LaTeX), what it is, and its value now.
    source : str
        Where it is published, or that it is proved in our texts.
    substituted : str
        The formula with the numbers put in; empty if the symbols say enough.
    text : str
        Name of the proof below ``assets/texts`` without its ending; empty if there is none.
    """

    latex: str
    symbols: Sequence[tuple[str, str, str]] = ()
    source: str = ""
    substituted: str = ""
    text: str = ""


def of_bound(bound: Bound, symbols: Sequence[tuple[str, str, str]] = ()) -> Formula:
    """Return the formula of a bound with its numbers; its title, reference and hypotheses are the source."""
    source = f"{bound.title}. {bound.reference + '. ' if bound.reference else ''}{bound.because}"
    return Formula(bound.formula, symbols, source, bound.substituted, bound.text)
