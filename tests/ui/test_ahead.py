"""What draws plots is named in every page, and nothing else is touched."""

import re
from pathlib import Path

import pytest
import streamlit

from sdqviz.ui.ahead import Ahead, scripts

PAGE = "<html><head><title>µ</title></head><body></head></body></html>".encode()


def answer(finished, status, kind, body, *, method="GET", **more):
    """Return status, headers and body of an answer in two parts, as it leaves."""
    headers = [(b"Content-Type", kind), (b"content-length", str(len(body)).encode()), *more.get("headers", ())]

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body[:20], "more_body": True})
        await send({"type": "http.response.body", "body": body[20:]})

    sent = []

    async def send(message):
        sent.append(message)

    finished(Ahead(app)({"type": "http", "method": method}, None, send))
    assert [one["type"] for one in sent[:2]] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(one["body"] for one in sent[1:])


def test_a_page_names_a_file_that_is_there_once_and_says_its_length(finished):
    addresses = set(re.findall(rb'"\./([^"]+)"', scripts()))
    assert len(addresses) == 1
    assert (Path(streamlit.__file__).with_name("static") / addresses.pop().decode()).is_file()
    status, headers, body = answer(finished, 200, b"text/html; charset=utf-8", PAGE)
    assert status == 200 and body == PAGE.replace(b"</head>", scripts() + b"</head>", 1)
    assert headers[b"content-length"] == str(len(body)).encode() and headers[b"Content-Type"].startswith(b"text/html")


@pytest.mark.parametrize(("status", "kind", "more"), [
    (200, b"text/javascript", {}), (404, b"text/html", {}), (200, b"text/html", {"method": "HEAD"}),
    (200, b"text/html", {"headers": [(b"content-encoding", b"gzip")]}),
])  # fmt: skip
def test_everything_else_passes_as_it_is(finished, status, kind, more):
    told, headers, body = answer(finished, status, kind, PAGE, **more)
    assert (told, body, headers[b"content-length"]) == (status, PAGE, str(len(PAGE)).encode())
