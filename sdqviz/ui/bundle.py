"""Gives browsers Streamlit's own files at once, and names in time what draws plots."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path
from typing import Any

import streamlit

from sdqviz.ui import chart

FOLDER = Path(streamlit.__file__).with_name("static")
"""Where Streamlit keeps its page and the files that the page loads."""

PART = "static/js/BidiComponent.*.js"
"""Streamlit's script for components such as our plots, which a browser would ask for only once one has arrived."""

KEPT = b"public, immutable, max-age=31536000"
"""For how long a browser keeps a file: one that changes gets another name."""

_IMPORTED = re.compile(r"""\b(?:from|import)["'`]\./([\w.-]+\.js)["'`]""")
_HEAD = 20_000
"""Characters of a script that hold what it imports; its own lines follow."""


def parts(folder: Path = FOLDER) -> list[str]:
    """Return the addresses of Streamlit's script for components and of those it needs, but for what its page names.

    Parameters
    ----------
    folder : Path
        Where Streamlit keeps its page.

    Returns
    -------
    list of str
        Relative to the page; none if this Streamlit keeps the script elsewhere.
    """
    page = (folder / "index.html").read_text(encoding="utf-8")
    found = [file.relative_to(folder).as_posix() for file in folder.glob(PART)]
    for address in found:  # grows while it is gone through
        for name in _IMPORTED.findall((folder / address).read_text(encoding="utf-8")[:_HEAD]):
            other = f"static/js/{name}"
            if other not in found and other not in page:
                found.append(other)
    return found


def ahead() -> str:
    """Return the header that tells a browser with each page what will draw its plots, Plotly's 4.7 MB among it."""
    ours, plotly = chart.scripts()
    links = [f"<./{address}>; rel=modulepreload" for address in (ours, *parts())]
    return ", ".join([f"<./{plotly}>; rel=preload; as=script", *links])


class Bundle:
    """Answers for Streamlit's own files, says with each page what it will need, and hands everything else on.

    Streamlit reads a file piece by piece in threads, each of which waits until the script of a page makes room: a long
    one takes a second though it lies in memory. Here a file is one message.

    Parameters
    ----------
    app : callable
        The application (ASGI).
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        files = (file for file in (FOLDER / "static").rglob("*") if file.is_file())
        self._files = {f"/{file.relative_to(FOLDER).as_posix()}": file for file in files}
        self._ahead = (b"link", ahead().encode())

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        file = self._files.get(scope["path"])
        if file is not None and all(name != b"range" for name, _ in scope["headers"]):
            await _give(file, send)
            return

        async def tell(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and _is_page(message):
                message = message | {"headers": [*message["headers"], self._ahead]}
            await send(message)

        await self._app(scope, receive, tell)


async def _give(file: Path, send: Any) -> None:
    content = file.read_bytes()
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(content)), (b"cache-control", KEPT)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _is_page(message: dict[str, Any]) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in message.get("headers", ())
    )
