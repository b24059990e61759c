"""A plot on a page that stays where it is: when its numbers change, the browser changes what is drawn.

Streamlit's own chart is told apart by its content: with every number that changed, a browser took the old one away,
mounted a new one and set it up twice, which was a third of what a visitor waited for after a slider had moved.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from sdqviz.plots.panel import library, written
from sdqviz.strict_json import write_json

NAME = "sdqviz_chart"
"""What the component is called."""

ADDRESS = "sdqviz-chart"
"""Where, beside the pages, its scripts are."""

SCRIPT = Path(__file__).with_name("chart.js")

KEPT = {"Cache-Control": "public, max-age=31536000, immutable", "Content-Encoding": "identity"}
"""How the scripts are sent: never asked for again, and as they are (Streamlit would compress them for each visitor)."""

_JS = """
const { default: show } = await import(new URL('%s', document.baseURI));
export default show;
"""


@functools.cache
def scripts() -> tuple[str, str]:
    """Return the addresses, relative to a page's, of the script that keeps plots and of Plotly's; named by content."""
    state = SCRIPT.read_bytes() + importlib.metadata.version("plotly").encode()
    version = hashlib.sha256(state).hexdigest()[:16]
    return f"{ADDRESS}/chart.js?{version}", f"{ADDRESS}/plotly.js?{version}"


@functools.cache
def _content(name: str) -> bytes:
    return SCRIPT.read_bytes() if name == SCRIPT.name else library().encode()


def route() -> Any:
    """Return the route under which the scripts are served."""
    from starlette.responses import Response
    from starlette.routing import Route

    async def answer(request: Any) -> Response:
        name = request.path_params["name"]
        if name not in (SCRIPT.name, "plotly.js"):
            return Response(status_code=404)
        return Response(_content(name), media_type="text/javascript", headers=KEPT)

    return Route(f"/{ADDRESS}/{{name}}", answer)


def chart(
    figure: Any,
    *,
    key: str,
    alt: str,
    config: Mapping[str, Any],
    on_select: Callable[[Mapping[str, Any]], None] | None = None,
    selection: Literal["points", "box"] = "points",
) -> None:
    """Draw a figure as wide as its column and as high as it says.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        What is drawn, with its own template and its height in pixels.
    key : str
        What tells it from the other plots, whatever its content.
    alt : str
        What it shows in words.
    config : mapping
        Plotly's configuration.
    on_select : callable, optional
        Called with what was selected: ``points``, each with ``x``, ``y`` and ``customdata``, and ``box``, each with
        two ``x`` and two ``y`` in the figure's coordinates; both are empty when all has been unselected.
    selection : {"points", "box"}
        What can be selected: a point by a click, or a box that is drawn over the plot.
    """
    told = write_json({"alt": alt, "config": config, "selects": selection if on_select else ""})
    heard: dict[str, Any] = {}
    if on_select is not None:
        heard["on_selected_change"] = lambda: on_select(st.session_state[key].selected)
    mount = st.components.v2.component(NAME, js=_JS % scripts()[0], isolate_styles=False)
    mount(data=f'{told[:-1]},"figure":{written(figure)}}}'.encode(), key=key, **heard)
