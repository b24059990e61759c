"""One self-contained HTML file of a page's view: plots, formulas, tables, choices and link; it opens offline."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import html
import math
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import number
from sdqviz.plots.panel import Panel, library
from sdqviz.plots.theme import Ink
from sdqviz.strict_json import write_json
from sdqviz.version import __version__

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Hosts that only the computer itself can reach."""

ROWS = 100
"""Rows of a table that are written out; the embedded CSV has them all."""

LIBRARIES = ("plotly", "numpy", "torch", "streamlit")
"""Whose versions are named."""


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What a page shows at one moment.

    Attributes
    ----------
    title, question : str
        Heading of the page, and what it answers.
    headlines : sequence of (label, value, note)
        The numbers at the top.
    panels : sequence of Panel
        The plots, in the order of the page.
    tables : mapping of str to (mapping of str to sequence)
        Further tables by title, each columns by name.
    choices : mapping
        The parameters of the link.
    link : str
        The link itself.
    code : str
        The lines that give the numbers; may be empty.
    ink : Ink
        The colours the plots are drawn in.
    said : sequence of str
        Verdicts, warnings and tables the page shows as text, Markdown.
    """

    title: str
    question: str
    headlines: Sequence[tuple[str, str, str]]
    panels: Sequence[Panel]
    tables: Mapping[str, Mapping[str, Sequence[Any]]]
    choices: Mapping[str, Any]
    link: str
    code: str
    ink: Ink
    said: Sequence[str] = ()


STYLE = """
:root { color-scheme: %(scheme)s; }
body { font: 15px/1.55 system-ui, sans-serif; max-width: 72rem; margin: 2.5rem auto; padding: 0 1.2rem;
  color: %(text)s; background: %(page)s; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2.4rem 0 .2rem; }
.look, .note, footer { opacity: .8; } .look { margin: .1rem 0 .6rem; }
.strip { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.4rem 0; }
.strip div { flex: 1 1 14rem; border: 1px solid %(faint)s; border-radius: .5rem; padding: .7rem 1rem; }
.strip b { display: block; font-size: 1.5rem; font-weight: 500; }
.wide { overflow-x: auto; } .scroll { max-height: 26rem; overflow: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid %(faint)s; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
pre, code { font: .86rem/1.5 ui-monospace, monospace; } pre { overflow-x: auto; padding: .8rem;
  border: 1px solid %(faint)s; border-radius: .4rem; }
.formula { font: italic 1.05rem/1.6 "STIX Two Math", "Cambria Math", serif; overflow-x: auto; }
details { margin: .5rem 0; } summary { cursor: pointer; } a { color: inherit; overflow-wrap: anywhere; }
@media print { details { display: none; } body { margin: 0; } }
"""


def write(view: View) -> bytes:
    """Return the report as one HTML file, UTF-8, that loads nothing.

    Plotly's library is in it once. Whatever came from outside (names, labels, choices) is escaped.

    Parameters
    ----------
    view : View
        What the page shows.
    """
    ink = view.ink
    colours = {"text": ink.text, "page": ink.page, "faint": ink.solid_faint, "scheme": "dark" if ink.dark else "light"}
    strip = "".join(
        f"<div>{_text(label)}<b>{_text(value)}</b><span class='note'>{_text(note)}</span></div>"
        for label, value, note in view.headlines
    )
    body = [
        f"<h1>{_text(view.title)}</h1><p>{_text(view.question)}</p>",
        f"<div class='strip'>{strip}</div>" if strip else "",
        _said(view.said),
        *(_panel(one) for one in view.panels),
        *(_table_section(title, columns) for title, columns in view.tables.items()),
        _choices(view) if view.choices else "",
        f"<h2>Code</h2><pre>{_text(view.code)}</pre>" if view.code else "",
        f"<footer><p>{_text(_origin())}</p></footer>",
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{_text(view.title)} · sdqviz</title><style>{STYLE % colours}</style>"
        f"<script>{library()}</script></head><body>\n" + "\n".join(filter(None, body)) + "\n</body></html>\n"
    ).encode()


def _text(value: Any) -> str:
    return html.escape(str(value))


def _panel(one: Panel) -> str:
    columns = one.table()
    formulas = "".join(_formula(formula) for formula in one.formulas)
    return (
        f"<section><h2>{_text(one.title)}</h2><p class='look'>{_text(one.look)}</p>"
        f"<div role='img' aria-label='{_text(one.alt)}'>{one.html()}</div>"
        f"<details><summary>Formula, numbers, source</summary>{formulas}</details>"
        f"<details><summary>Data</summary>{_table(columns)}<p>{_csv_link(one)}</p></details></section>"
    )


def _csv_link(one: Panel) -> str:
    data = base64.b64encode(one.csv()).decode()
    return f"<a download='sdqviz-{_text(one.name)}.csv' href='data:text/csv;base64,{data}'>All of it as CSV</a>"


def _formula(formula: Formula) -> str:
    lines = [f"<p class='formula'>{formula_text(formula.latex)}</p>"]
    if formula.substituted:
        lines.append(f"<p class='formula'>{formula_text(formula.substituted)}</p>")
    items = "".join(
        f"<li>{formula_text(symbol) if symbol else ''} {_text(meaning)}"
        f"{f': <b>{_text(value)}</b>' if value else ''}</li>"
        for symbol, meaning, value in formula.symbols
    )
    lines.append(f"<ul>{items}</ul>" if items else "")
    lines.append(f"<p class='note'>{_text(formula.source)}</p>" if formula.source else "")
    return "".join(lines) + f"<details><summary>LaTeX</summary><pre>{_text(formula.latex)}</pre></details>"


def _table_section(title: str, columns: Mapping[str, Sequence[Any]]) -> str:
    return f"<section><h2>{_text(title)}</h2>{_table(columns)}</section>"


def _table(columns: Mapping[str, Any]) -> str:
    longest = max((len(values) for values in columns.values()), default=0)
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    rows = []
    for row in range(min(longest, ROWS)):
        cells = (cell(values[row]) if row < len(values) else "" for values in columns.values())
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    more = f"<p class='note'>The first {ROWS} of {longest:,} rows.</p>" if longest > ROWS else ""
    return f"<div class='scroll'><table><tr>{head}</tr>{''.join(rows)}</table></div>{more}"


def cell(value: Any) -> str:
    """Return a value as the HTML of a cell of a table; what has none is a dash."""
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is None or (isinstance(plain, float) and math.isnan(plain)):
        return "–"
    return _text(number(plain) if isinstance(plain, float) else plain)


def _choices(view: View) -> str:
    rows = "".join(f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in view.choices.items())
    address = urlsplit(view.link)
    known = address.scheme in ("http", "https") and address.hostname not in LOCAL  # nobody else can follow those
    safe = view.link if known else ""
    link = f"<p>Link: <a href='{_text(safe)}'>{_text(safe)}</a></p>" if safe else ""
    data = base64.b64encode(write_json(dict(view.choices), indent=1).encode()).decode()
    file = f"<a download='sdqviz-choices.json' href='data:application/json;base64,{data}'>The choices as JSON</a>"
    return f"<section><h2>Choices</h2>{link}<table>{rows}</table><p>{file}</p></section>"


def _origin() -> str:
    found = [f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        found.append(f"{name} {version(name)}")
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"sdqviz {__version__}, {', '.join(found)}; written {now}. This file holds everything it shows."


# -- formulas and what was said -----------------------------------------------------------------------


def formula_text(latex: str) -> str:
    r"""Return a formula as MathML, which browsers draw by themselves; what cannot be read is shown as LaTeX.

    Examples
    --------
    >>> "<mfrac>" in formula_text(r"\frac{a}{b}")
    True
    """
    from latex2mathml.converter import convert

    try:
        return str(convert(latex))
    except Exception:  # a formula that is cut short: any error of the converter means the same
        return f"<code>{_text(latex)}</code>"


def _said(texts: Sequence[str]) -> str:
    """Write what the page said, verdicts first to last; tables as tables."""
    parts = []
    for text in texts:
        for block in re.split(r"\n\s*\n", re.sub(r":material/\w+:\s*", "", text)):
            lines = [line.strip() for line in block.splitlines() if line.strip()]
            if lines and all(line.startswith("|") for line in lines):
                rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
                body = [rows[0], *(row for row in rows[1:] if not set("".join(row)) <= set("-: "))]
                parts.append(_rows(body))
            elif lines:
                bold = re.sub(r"[*]{2}(.+?)[*]{2}", r"<b>\1</b>", _text(" ".join(lines)))
                parts.append(f"<p>{bold}</p>")
    return f"<section class='said'>{''.join(parts)}</section>" if parts else ""


def _rows(rows: Sequence[Sequence[str]]) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}>{_text(cell.replace(chr(92) + '|', '|'))}</{tag}>" for cell in row)

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows[1:])
    return f"<div class='wide'><table><tr>{cells(rows[0], 'th')}</tr>{body}</table></div>"
