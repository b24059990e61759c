"""Runs as one flat table: a row each, for spreadsheets; layers stay behind."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable
from typing import Any

from sdqviz.error import InputError
from sdqviz.experiments.run import Run
from sdqviz.report import Report
from sdqviz.strict_json import read_json, write_json

MOST_ROWS = 20_000
"""The most rows that are read."""

_OWN = ("key", "network", "method", "calibration", "seed", "problem", "seconds", "version", "label")
_NESTED = ("layers", "left_alone", "network", "seed", "method", "version")
"""Fields of a report that a row does not repeat or cannot hold."""

_FIGURES = {item.name: str(item.type) for item in dataclasses.fields(Report) if item.name not in _NESTED}
_PREFIX = "compress_"
"""Put before the report's field that has the name of a run's own: the two times differ."""


def _column(name: str) -> str:
    return _PREFIX + name if name in _OWN else name


def write_csv(runs: Iterable[Run]) -> bytes:
    """Return runs as CSV, UTF-8, with a header line; the choices are JSON in their cells.

    Parameters
    ----------
    runs : iterable of Run
        What to write; failed runs have empty figures.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*_OWN, *map(_column, _FIGURES)])
    for run in runs:
        own = [getattr(run, name) for name in _OWN]
        own[1:3] = [write_json(dict(value)) for value in own[1:3]]
        figures = ["" if run.report is None else _written(getattr(run.report, name)) for name in _FIGURES]
        writer.writerow([*own, *figures])
    return out.getvalue().encode()


def _written(value: Any) -> Any:
    return "" if value is None else repr(value) if isinstance(value, float) else value


def read_csv(data: bytes) -> tuple[Run, ...]:
    """Read what `write_csv` wrote; the reports have no layers.

    Raises
    ------
    InputError
        If a column is missing, a cell cannot be read, or there are more than `MOST_ROWS` rows.
    """
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
        missing = [
            name for name in ("key", "network", "method", "bits_per_weight") if name not in (reader.fieldnames or ())
        ]
        if missing:
            raise ValueError(f"no column {missing[0]!r}")
        found: list[Run] = []
        for row in reader:
            if len(found) == MOST_ROWS:
                raise ValueError(f"more than {MOST_ROWS:,} rows")
            found.append(_read(row))
    except (ValueError, KeyError, TypeError, csv.Error, RecursionError) as error:
        raise InputError(f"table of runs must be CSV that sdqviz wrote, got {error}") from None
    return tuple(found)


def _read(row: dict[str, Any]) -> Run:
    if None in row or None in row.values():
        raise ValueError("a row that is longer or shorter than the header")
    values: dict[str, Any] = {name: row[name] for name in _OWN}
    values |= {name: read_json(row[name], f"{name} must be") for name in ("network", "method")}
    values |= {name: int(row[name]) for name in ("calibration", "seed")}
    values["seconds"] = float(row["seconds"])
    values["report"] = None
    if not values["problem"]:
        report = {name: _parsed(row[_column(name)], kind) for name, kind in _FIGURES.items() if _column(name) in row}
        network = values["network"]
        if not isinstance(network, dict):
            raise ValueError(f"network {network!r}")
        report |= {"network": str(network.get("name", "")), "seed": values["seed"], "method": values["method"]}
        values["report"] = report | {"version": values["version"], "layers": [], "left_alone": []}
    return Run.from_dict(values)


def _parsed(text: str, kind: str) -> Any:
    plain, _, optional = kind.partition(" | ")
    if optional and text == "":
        return None
    if plain == "float":
        value = float(text)
        return "NaN" if math.isnan(value) else "Infinity" if value == math.inf else value
    if plain == "int":
        return int(text)
    if plain == "bool":
        if text not in ("True", "False"):
            raise ValueError(f"{text!r} in place of True or False")
        return text == "True"
    return text
