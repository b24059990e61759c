"""Files of runs that a visitor brings: what is not one is refused in one sentence."""

import gzip

import pytest

from sdqviz.error import InputError
from sdqviz.ui import compare_files


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b""),
        ("a.json", b"[1, 2]"),
        ("a.json", b'{"format": "sdqviz runs 1", "runs": [{}]}'),
        ("a.json", b"\x80\x04\x95 pickle"),
        ("a.gz", gzip.compress(b"{" * 1000, mtime=0)),
        ("a.gz", gzip.compress(b"x", mtime=0)[:-9]),
        ("a.csv", b"key,network\n1,2\n"),
        ("a.json", b"x" * ((compare_files.UPLOAD_MEGABYTES << 20) + 1)),
        ("bomb.json.gz", gzip.compress(b" " * (300 << 20), 9, mtime=0)),
    ],
)
def test_bad_files_are_refused_in_one_sentence(name, data):
    with pytest.raises(InputError) as caught:
        compare_files.read_file(name, data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_too_many_runs_are_refused(made_run, monkeypatch):
    monkeypatch.setattr(compare_files, "MOST_IMPORTED", 3)
    with pytest.raises(InputError, match="file must hold at most 3 runs, got 4"):
        compare_files.read_file("a.json", compare_files.to_json([made_run(bits=float(k)) for k in range(4)]))
