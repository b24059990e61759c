"""A plot in which a curve is drawn: its points follow the mouse or a finger, or move by the arrow keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from sdqviz.lessons.lesson import Curve
from sdqviz.plots import theme
from sdqviz.plots.theme import Ink

_HTML = '<svg class="sketch" role="group"></svg>'

_CSS = """
.sketch {width: 100%; height: 16rem; display: block; touch-action: none; cursor: crosshair; overflow: visible;
  color: var(--st-text-color); font: .8rem var(--st-font, sans-serif); user-select: none}
.sketch text {fill: currentColor}
.sketch .rule {stroke: currentColor; opacity: .18}
.sketch .curve {fill: none; stroke-width: 2; stroke-dasharray: 2 4; stroke-linecap: round}
.sketch [role="slider"] {cursor: ns-resize; stroke: var(--st-background-color); stroke-width: 2}
.sketch [role="slider"]:focus-visible {outline: 2px solid var(--st-primary-color); outline-offset: 3px}
"""

_JS = """
const SPACE = 'http://www.w3.org/2000/svg';
const LEFT = 64, RIGHT = 24, TOP = 16, BOTTOM = 48;
export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const sheet = parentElement.querySelector('.sketch');
  const { at, low, high, step, ticks, unit, label, colour } = data;
  sheet.setAttribute('aria-label', `${label}: drag the points, or move each by the arrow keys`);
  const given = data.values.join();
  if (sheet.given !== given) {  // the server's word counts only where it has changed
    sheet.given = given;
    sheet.values = [...data.values];
  }
  const made = (kind, attributes, text) => {
    const one = document.createElementNS(SPACE, kind);
    for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
    if (text !== undefined) one.textContent = text;
    return one;
  };
  const span = at.at(-1) - at[0], side = span / 12;
  const across = (x, width) => LEFT + (width - LEFT - RIGHT) * (x - at[0] + side) / (span + 2 * side);
  const down = (y, height) => TOP + (height - TOP - BOTTOM) * (high - y) / (high - low);
  const whole = (value) => {
    const stepped = low + step * Math.round((value - low) / step);
    return Math.min(high, Math.max(low, Number(stepped.toFixed(9))));
  };

  if (sheet.count !== at.length) {  // the points stay the same elements, or the one that has the keyboard would lose it
    sheet.count = at.length;
    sheet.replaceChildren(made('g', { class: 'axes' }), made('path', { class: 'curve' }), ...at.map(() =>
      made('circle', { r: 9, role: 'slider', tabindex: 0, 'aria-orientation': 'vertical' })));
  }
  const [axes, curve, ...points] = sheet.children;
  const draw = () => {
    const { width, height } = sheet.getBoundingClientRect();
    if (!width) return;
    const few = width < 420 ? 2 : 1;  // on a phone every other number of the axis
    axes.replaceChildren(
      ...ticks.map((y) => made('path', { class: 'rule', d: `M${LEFT} ${down(y, height)}H${width - RIGHT}` })),
      ...ticks.map((y) => made('text', { x: LEFT - 8, y: down(y, height) + 4, 'text-anchor': 'end' }, y)),
      ...at.filter((_, k) => k % few === 0).map((x) =>
        made('text', { x: across(x, width), y: height - BOTTOM + 20, 'text-anchor': 'middle' }, x)),
      made('text', { x: (LEFT + width - RIGHT) / 2, y: height - 8, 'text-anchor': 'middle' }, unit),
      made('text', { x: -(TOP + height - BOTTOM) / 2, y: 16, transform: 'rotate(-90)', 'text-anchor': 'middle' },
        label));
    const places = sheet.values.map((y, k) => [across(at[k], width), down(y, height)]);
    curve.setAttribute('d', `M${places.map((one) => one.join(' ')).join('L')}`);
    curve.setAttribute('stroke', colour);
    points.forEach((point, k) => {
      point.setAttribute('cx', places[k][0]);
      point.setAttribute('cy', places[k][1]);
      point.setAttribute('fill', colour);
      for (const [name, value] of Object.entries({
        label: `at ${at[k]} ${unit}`, valuemin: low, valuemax: high, valuenow: sheet.values[k],
      })) point.setAttribute(`aria-${name}`, value);
    });
  };
  const tell = () => {
    clearTimeout(sheet.waiting);
    sheet.waiting = setTimeout(() => { sheet.given = sheet.values.join(); setStateValue('drawn', sheet.values); }, 250);
  };
  const take = (k, value) => { sheet.values[k] = whole(value); draw(); };

  let held = false;
  const follow = (event) => {  // whichever point is nearest follows: one stroke draws the whole curve
    const box = sheet.getBoundingClientRect();
    const x = event.clientX - box.left;
    const gaps = at.map((one) => Math.abs(across(one, box.width) - x));
    const k = gaps.indexOf(Math.min(...gaps));
    take(k, high - (high - low) * (event.clientY - box.top - TOP) / (box.height - TOP - BOTTOM));
    return points[k];
  };
  sheet.onpointerdown = (event) => {
    event.preventDefault();
    sheet.setPointerCapture(event.pointerId);
    held = true;
    follow(event).focus({ preventScroll: true });
  };
  sheet.onpointermove = (event) => { if (held) follow(event); };
  sheet.onpointerup = sheet.onpointercancel = () => { if (held) { held = false; tell(); } };
  points.forEach((point, k) => {
    point.onkeydown = (event) => {
      const moved = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 5, PageDown: -5 }[event.key];
      const end = { Home: low, End: high }[event.key];
      if (moved === undefined && end === undefined) return;
      event.preventDefault();
      event.stopPropagation();  // arrows also turn cards
      take(k, end ?? sheet.values[k] + moved * step);
      tell();
    };
  });

  draw();
  sheet.watch?.disconnect();
  sheet.watch = new ResizeObserver(draw);
  sheet.watch.observe(sheet);
  return () => { sheet.watch.disconnect(); clearTimeout(sheet.waiting); };
}
"""


def sketch(asked: Curve, values: Sequence[float], ink: Ink, *, key: str, on_drawn: Callable[[], None]) -> None:
    """Draw the plot with its points.

    Parameters
    ----------
    asked : Curve
        What is guessed.
    values : sequence of float
        Its points so far.
    ink : Ink
        The page's colours.
    key : str
        State ``drawn``, a list of numbers, is found under it in the session state; it is the browser's word, to be read
        by ``asked``.
    on_drawn : callable
        Called when it changes.
    """
    told: dict[str, Any] = {  # tuples: of a list Streamlit asks whether it is a table, for which it reads pandas
        "at": asked.at, "low": asked.low, "high": asked.high, "step": asked.step, "unit": asked.unit,
        "label": asked.label, "values": tuple(values), "ticks": _ticks(asked), "colour": theme.ERROR.colour(ink),
    }  # fmt: skip
    mounted = st.components.v2.component("sdqviz_sketch", html=_HTML, css=_CSS, js=_JS)
    mounted(data=told, key=key, on_drawn_change=on_drawn)


def _ticks(asked: Curve) -> tuple[float, ...]:
    """Return about five round numbers of the range."""
    rough = (asked.high - asked.low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    grain = next(power * k for k in (1, 2, 5, 10) if power * k >= rough * (1 - 1e-9))
    first, last = math.ceil(asked.low / grain - 1e-9), math.floor(asked.high / grain + 1e-9)
    return tuple(float(f"{k * grain:.10g}") for k in range(first, last + 1))
