"""Lets a browser read what draws plots while the server still thinks about the first of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit

CHART = "static/js/PlotlyChart.*.js"
"""Streamlit's part that draws plots: 4.7 MB, which a browser would fetch and read only once a plot has arrived."""


def scripts() -> bytes:
    """Return the lines of HTML that fetch it, and run it once the heading stands, which takes a browser a second.

    None if this Streamlit keeps it elsewhere.
    """
    folder = Path(streamlit.__file__).with_name("static")
    found = sorted(file.relative_to(folder).as_posix() for file in folder.glob(CHART))
    if len(found) != 1:
        return b""
    (address,) = found
    return f"""<link rel="modulepreload" crossorigin href="./{address}">
<script type="module">
const wait = setInterval(() => {{
  if (!document.querySelector("h1")) return
  clearInterval(wait)
  import("./{address}").catch(() => {{}})
}}, 40)
</script>
""".encode()


class Ahead:
    """Puts `scripts` at the end of the head of every page.

    Parameters
    ----------
    app : callable
        The application (ASGI).
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._added = scripts()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request."""
        begun: dict[str, Any] = {}
        content = bytearray()

        async def tell(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                begun.update(message)
            elif begun and message["type"] == "http.response.body":
                content.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    page = bytes(content).replace(b"</head>", self._added + b"</head>", 1)
                    kept = [pair for pair in begun["headers"] if pair[0].lower() != b"content-length"]
                    await send({**begun, "headers": [*kept, (b"content-length", str(len(page)).encode())]})
                    await send(message | {"body": page})
            else:
                await send(message)

        asked = scope["type"] == "http" and scope["method"] == "GET" and self._added
        await self._app(scope, receive, tell if asked else send)


def _is_page(message: dict[str, Any]) -> bool:
    headers = {name.lower(): value for name, value in message.get("headers", ())}
    html = headers.get(b"content-type", b"").startswith(b"text/html")
    return message["status"] == 200 and html and b"content-encoding" not in headers
