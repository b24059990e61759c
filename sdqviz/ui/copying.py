"""A button that copies a text and says so; the browser does it, the server is not asked."""

from __future__ import annotations

from typing import Any

import streamlit as st

_CSS = """
button {width: 100%; min-height: 2.5rem; padding: .25rem .75rem; border-radius: .5rem; font: inherit; cursor: pointer;
  color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color, rgba(127, 127, 127, .4));}
button:hover, button:focus-visible {border-color: var(--st-primary-color); color: var(--st-primary-color);}
"""

_JS = """
export default function (component) {
  const { data, parentElement } = component;
  const button = parentElement.querySelector('button');
  button.textContent = data.label;
  button.title = data.help;
  const old = (text) => {
    const area = document.createElement('textarea');
    area.value = text;
    document.body.appendChild(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done ? Promise.resolve() : Promise.reject();
  };
  const say = (words) => {
    button.textContent = words;
    setTimeout(() => { button.textContent = data.label; }, 2500);
  };
  button.onclick = () =>
    (navigator.clipboard ? navigator.clipboard.writeText(data.text).catch(() => old(data.text)) : old(data.text))
      .then(() => say(data.done), () => say(data.failed));
}
"""


def button(label: str, text: str, *, key: str, help: str) -> None:
    """Draw the button.

    Parameters
    ----------
    label : str
        What stands on it.
    text : str
        What it copies.
    key : str
        Its key.
    help : str
        Shown when the pointer rests on it.
    """
    told: dict[str, Any] = {"label": label, "text": text, "help": help, "done": "Copied", "failed": "Copy it below"}
    mounted = st.components.v2.component("sdqviz_copy", html="<button></button>", css=_CSS, js=_JS)
    mounted(data=told, key=key)
