"""A square to draw a digit in, by mouse, finger or pen, with pictures to pick from below it."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st

from sdqviz.array import Array

_HTML = """<div class="pad"><canvas width="280" height="280" tabindex="0"></canvas>
<button class="clear" type="button">Clear</button><div class="picks"></div></div>"""

_CSS = """
.pad {display: flex; flex-direction: column; gap: .4rem; max-width: 20rem; color: var(--st-text-color)}
canvas {width: 100%; aspect-ratio: 1; touch-action: none; cursor: crosshair; border-radius: .5rem;
  border: 1px solid var(--st-border-color, rgba(127, 127, 127, .4)); background: var(--st-background-color)}
canvas:focus-visible, .pad button:focus-visible {outline: 2px solid var(--st-primary-color)}
.pad button {font: inherit; cursor: pointer; color: inherit; background: var(--st-background-color);
  border: 1px solid var(--st-border-color, rgba(127, 127, 127, .4)); border-radius: .5rem}
.clear {padding: .25rem .75rem}
.picks {display: grid; grid-template-columns: repeat(10, 1fr); gap: 2px}
.picks button {padding: 0; border-radius: .2rem; line-height: 0}
.picks button[aria-pressed="true"] {border: 2px solid var(--st-primary-color)}
.picks canvas {border: 0; border-radius: .2rem; cursor: pointer}
"""

_JS = """
const SIDE = 56;
export default function (component) {
  const { data, parentElement, setStateValue, setTriggerValue } = component;
  const pad = parentElement.querySelector('.pad');
  const sheet = pad.querySelector('.pad > canvas');
  const pen = sheet.getContext('2d');
  const ink = () => getComputedStyle(pad).color;
  sheet.setAttribute('aria-label', data.label);

  const paint = (canvas, text, side) => {  // ink as the transparency of the text's colour
    const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    const small = document.createElement('canvas');
    small.width = small.height = side;
    const context = small.getContext('2d');
    context.fillStyle = ink();
    context.fillRect(0, 0, side, side);
    const image = context.getImageData(0, 0, side, side);
    bytes.forEach((value, k) => { image.data[4 * k + 3] = value; });
    context.putImageData(image, 0, 0);
    const target = canvas.getContext('2d');
    target.clearRect(0, 0, canvas.width, canvas.height);
    target.imageSmoothingEnabled = true;
    target.drawImage(small, 0, 0, canvas.width, canvas.height);
  };
  const tell = () => {
    const small = document.createElement('canvas');
    small.width = small.height = SIDE;
    const context = small.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.drawImage(sheet, 0, 0, SIDE, SIDE);
    const pixels = context.getImageData(0, 0, SIDE, SIDE).data;
    let text = '';
    for (let k = 0; k < SIDE * SIDE; k++) text += String.fromCharCode(pixels[4 * k + 3]);
    pad.shown = btoa(text);
    setStateValue('drawn', pad.shown);
  };

  if (data.shown !== pad.shown || ink() !== pad.ink) {  // another picture, or another theme
    pad.fresh = !data.own;
    pad.shown = data.shown;
    if (data.shown) paint(sheet, data.shown, data.side); else pen.clearRect(0, 0, 280, 280);
  }
  const place = (event) => {
    const box = sheet.getBoundingClientRect();
    return [(event.clientX - box.left) * 280 / box.width, (event.clientY - box.top) * 280 / box.height];
  };
  let last = null;
  const stroke = (event) => {
    const next = place(event);
    pen.strokeStyle = ink();
    pen.lineWidth = 21;
    pen.lineCap = pen.lineJoin = 'round';
    pen.beginPath();
    pen.moveTo(...last);
    pen.lineTo(next[0] + 0.01, next[1]);
    pen.stroke();
    last = next;
  };
  sheet.onpointerdown = (event) => {
    sheet.setPointerCapture(event.pointerId);
    if (pad.fresh) pen.clearRect(0, 0, 280, 280);  // a drawing takes the place of a picture
    pad.fresh = false;
    last = place(event);
    stroke(event);
  };
  sheet.onpointermove = (event) => { if (last) stroke(event); };
  sheet.onpointerup = sheet.onpointercancel = () => { if (last) { last = null; tell(); } };
  pad.querySelector('.clear').onclick = () => { pen.clearRect(0, 0, 280, 280); pad.fresh = false; tell(); };

  const picks = pad.querySelector('.picks');
  if (picks.childElementCount !== data.pictures.length || ink() !== pad.ink) {
    picks.replaceChildren(...data.pictures.map((text, k) => {
      const button = document.createElement('button');
      const small = document.createElement('canvas');
      small.width = small.height = 28;
      paint(small, text, 28);
      button.type = 'button';
      button.setAttribute('aria-label', data.names[k]);
      button.title = data.names[k];
      button.append(small);
      return button;
    }));
  }
  pad.ink = ink();
  [...picks.children].forEach((button, k) => {
    button.setAttribute('aria-pressed', String(k === data.chosen));
    button.onclick = () => setTriggerValue('picked', k);
  });
}
"""


def as_text(picture: Array) -> str:
    """Write a picture, 0 … 1, as the browser takes it: bytes in base 64."""
    return base64.b64encode(np.round(255 * picture).astype(np.uint8).tobytes()).decode()


def pad(
    pictures: Array,
    names: Sequence[str],
    chosen: int | None,
    drawn: str,
    *,
    label: str,
    key: str,
    on_drawn: Callable[[], None],
    on_picked: Callable[[], None],
) -> None:
    """Draw the square and the pictures.

    Parameters
    ----------
    pictures : ndarray, shape (n, 28, 28)
        What can be picked, 0 … 1.
    names : sequence of str
        What each is.
    chosen : int or None
        The picked one; None where the visitor's drawing is shown.
    drawn : str
        The drawing as it came from the browser, or another square of bytes.
    label : str
        What the square is for, for those who cannot see it.
    key : str
        State ``drawn`` and trigger ``picked`` are found under it in the session state.
    on_drawn, on_picked : callable
        Called when they change.
    """
    texts = [as_text(one) for one in pictures]
    own = chosen is None
    side = math.isqrt(len(base64.b64decode(drawn))) if own else 28
    told: dict[str, Any] = {  # tuples: of a list Streamlit asks whether it is a table, for which it reads pandas
        "pictures": tuple(texts), "names": tuple(names), "chosen": -1 if chosen is None else chosen, "own": own,
        "label": label, "shown": drawn if chosen is None else texts[chosen], "side": side,
    }  # fmt: skip
    mounted = st.components.v2.component("sdqviz_drawing", html=_HTML, css=_CSS, js=_JS)
    mounted(data=told, key=key, on_drawn_change=on_drawn, on_picked_change=on_picked)
