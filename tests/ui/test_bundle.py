"""Streamlit's own files: what is given at once is what Streamlit itself gives, and a page names what draws plots."""

import itertools
import re
from pathlib import Path

import pytest
from streamlit.web.server.starlette.starlette_static_routes import create_streamlit_static_handler

from sdqviz.ui import chart
from sdqviz.ui.bundle import FOLDER, Bundle, parts


@pytest.fixture(scope="module")
def streamlit_itself():
    return create_streamlit_static_handler(str(FOLDER), None)


async def ask(app, path, method="GET", **headers):
    """Return the status, the headers and the content of an answer, and in how many messages the content came."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "asgi": {"spec_version": "2.4"},
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)
    found = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(one.get("body", b"") for one in sent[1:]), len(sent) - 1


def files():
    """Return all files, the longest last."""
    found = (file for file in (FOLDER / "static").rglob("*") if file.is_file())
    return sorted(found, key=lambda file: (file.stat().st_size, file.name))


@pytest.mark.parametrize("kind", sorted({file.suffix for file in files()}))
def test_a_file_is_the_one_streamlit_gives_in_one_message(kind, streamlit_itself, finished):
    for file in [file for file in files() if file.suffix == kind][-10:]:
        path = f"/{file.relative_to(FOLDER).as_posix()}"
        status, headers, content, messages = finished(ask(Bundle(streamlit_itself), path))
        expected = finished(ask(streamlit_itself, path))
        assert (status, content) == (expected[0], expected[2]) and content == file.read_bytes()
        assert messages == 1
        for name in ("content-length", "cache-control"):
            assert headers[name] == expected[1][name]
        assert headers["content-type"].partition(";")[0] == expected[1]["content-type"].partition(";")[0]


def test_the_longest_file_would_come_in_many_pieces(streamlit_itself, finished):
    """Else there is no reason for any of this."""
    longest = files()[-1]
    assert finished(ask(streamlit_itself, f"/{longest.relative_to(FOLDER).as_posix()}"))[3] > 50


@pytest.mark.parametrize(
    ("path", "method", "more"),
    [
        ("/static/js/nothing.js", "GET", {}),
        ("/static/../index.html", "GET", {}),
        ("/static/js/%2e%2e/x.js", "GET", {}),
        ("/favicon.png", "GET", {}),
        (f"/{parts()[0]}", "HEAD", {}),
        (f"/{parts()[0]}", "GET", {"range": "bytes=10-99"}),
    ],
)
def test_everything_else_is_streamlits_to_answer(path, method, more, streamlit_itself, finished):
    status, headers, content, _ = finished(ask(Bundle(streamlit_itself), path, method, **more))
    expected = finished(ask(streamlit_itself, path, method, **more))
    named = headers.pop("link", "")
    assert (status, headers, content) == expected[:3]
    assert bool(named) is headers.get("content-type", "").startswith("text/html")


def test_a_page_names_what_draws_plots_and_all_it_needs(streamlit_itself, finished):
    """What the script imports is found here in another way, and followed through all scripts."""
    for path in ("/", "/network"):
        _, headers, page, _ = finished(ask(Bundle(streamlit_itself), path))
        links = dict(re.findall(r"<\./([^>]+)>; rel=([^,]+)", headers["link"]))
        ours, plotly = chart.scripts()
        assert links[ours] == "modulepreload" and links[plotly] == "preload; as=script"
        named = {*links} | {one.decode() for one in re.findall(rb'(?:src|href)="\./(static/js/[^"]+)"', page)}
        chart_part = next(one for one in named if "/BidiComponent." in one)
        reached, ways = set(), [chart_part]
        while ways:
            one = ways.pop()
            if one not in reached:
                reached.add(one)
                lines = (FOLDER / one).read_text(encoding="utf-8")[:50_000].split(";")
                told = itertools.takewhile(lambda line: line.startswith("import"), lines)
                ways += [f"static/js/{line.rpartition('./')[2].strip('`')}".rstrip("\"'") for line in told]
        assert len(reached) > 10 and reached <= named


def test_a_streamlit_that_keeps_its_components_elsewhere_has_nothing_named(tmp_path):
    (tmp_path / "index.html").write_text("<html></html>")
    assert parts(Path(tmp_path)) == []
