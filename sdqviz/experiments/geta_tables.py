"""The tables of joint pruning and quantization: every run beside its baselines, and all seeds of a kind together."""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
from collections.abc import Mapping, Sequence

from sdqviz.explore.tables import markdown
from sdqviz.methods.geta.recording import Recording

SOURCE = "Qu et al., arXiv 2502.16638"


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to a smaller network: what it is, its test accuracy, relative BOPs and bits per original number."""

    label: str
    accuracy: float
    relative_bops: float
    bits_per_number: float


def ways(recording: Recording) -> list[Way]:
    """Return the original, the run and its baselines; nothing of a recording that has no report."""
    told, before = recording.report, recording.accuracy_before
    if told is None or before is None:
        return []
    own = Way("GETA", told["accuracy_after"], told["relative_bops"], told["bits_per_weight"])
    beside = [
        Way(one.label, math.nan if one.accuracy is None else one.accuracy, one.relative_bops, one.bits_per_weight)
        for one in recording.beside
    ]
    return [Way("float", before, 1.0, 32.0), own, *beside]


def table(recordings: Mapping[str, Recording]) -> str:
    """Return every case as rows of a table in Markdown: test accuracy, relative BOPs and bits per original number."""
    rows = []
    for name, recording in recordings.items():
        found = ways(recording)
        for one in found:
            lost = f"{100 * (one.accuracy - found[0].accuracy):+.2f}"
            bops = f"{100 * one.relative_bops:.2f} %"
            rows.append((name, one.label, f"{100 * one.accuracy:.2f} %", lost, bops, f"{one.bits_per_number:.2f}"))
    title = f"GETA ({SOURCE}) beside other ways to the same sparsity or the same BOPs; accuracy on all test images"
    head = ("run", "way", "accuracy", "to float", "relative BOPs", "bits per number")
    return f"{title}\n\n{markdown(head, rows)}"


def summary(recordings: Mapping[str, Recording]) -> str:
    """Return a table in Markdown of the runs that differ by their seed alone: mean ± standard deviation over them.

    Its last column has the difference to GETA seed by seed, GETA minus the other way: what all ways owe to a network
    is out of it. Ways that affordable bits tell apart, fewer for one seed than for another, are one row.
    """
    head = ("run", "seeds", "way", "accuracy, %", "relative BOPs, %", "bits per number", "GETA minus this")
    table: list[tuple[object, ...]] = []
    for name, group in _of_seeds(recordings).items():
        rows_of: dict[tuple[str, int], list[tuple[Way, float]]] = {}
        for found in filter(None, map(ways, group)):
            kinds = [re.sub(r"\d+", "", row.label) for row in found]
            for place, row in enumerate(found):
                ahead_by = 100 * (found[1].accuracy - row.accuracy)
                rows_of.setdefault((kinds[place], kinds[:place].count(kinds[place])), []).append((row, ahead_by))
        for pairs in rows_of.values():
            rows, ahead = [row for row, _ in pairs], [ahead_by for _, ahead_by in pairs]
            figures = [
                [100 * row.accuracy for row in rows],
                [100 * row.relative_bops for row in rows],
                [row.bits_per_number for row in rows],
            ]
            by = "" if rows[0].label == "GETA" else spread(ahead, signed=True)
            table.append((name, len(rows), _together([row.label for row in rows]), *map(spread, figures), by))
    return markdown(head, table)


def _of_seeds(recordings: Mapping[str, Recording]) -> dict[str, list[Recording]]:
    found: dict[str, list[Recording]] = {}
    for name, recording in recordings.items():
        found.setdefault(re.sub(r"-seed\d+$", "", name), []).append(recording)
    return found


def spread(values: Sequence[float], signed: bool = False) -> str:
    """Return mean ± standard deviation (of a sample); the value alone where there is one.

    Examples
    --------
    >>> spread([99.0, 99.1]), spread([0.25], signed=True)
    ('99.05 ± 0.07', '+0.25')
    """
    mean = f"{statistics.fmean(values):{'+' if signed else ''}.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def _together(labels: Sequence[str]) -> str:
    """Join labels that differ in numbers alone.

    Examples
    --------
    >>> _together(["GPFQ, 2 bits, activations 3", "GPFQ, 3 bits, activations 3"])
    'GPFQ, 2–3 bits, activations 3'
    """
    columns = zip(*(re.findall(r"\d+", label) for label in labels), strict=True)
    numbers = [sorted({int(one) for one in column}) for column in columns]
    told = iter(f"{one[0]}–{one[-1]}" if len(one) > 1 else str(one[0]) for one in numbers)
    return re.sub(r"\d+", lambda _: next(told), labels[0])
