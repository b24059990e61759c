"""Files of runs that come to and go from the Compare page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sdqviz.error import InputError
from sdqviz.experiments import run_csv, run_file
from sdqviz.experiments.compare.entry import Entry, check
from sdqviz.experiments.run import Run

UPLOAD_MEGABYTES = 8
"""The largest file of runs that is taken."""

MOST_IMPORTED = 5000
"""The most imported runs of a session."""

LONGEST_NAME = 40
"""Characters of a file's name that are shown."""

_IMPORTED = "_compare imported"


def imported() -> dict[str, tuple[Run, ...]]:
    """Return the imported runs of this session by the name of their file."""
    found: dict[str, tuple[Run, ...]] = st.session_state.setdefault(_IMPORTED, {})
    return found


def read_file(name: str, data: bytes) -> tuple[Run, ...]:
    """Read an uploaded file of runs and check that its figures can be drawn.

    Parameters
    ----------
    name : str
        Its name: the ending says whether it is CSV.
    data : bytes
        What is in it.

    Raises
    ------
    InputError
        If it is too large, damaged, or something else.
    """
    if len(data) > UPLOAD_MEGABYTES << 20:
        raise InputError(f"file must be at most {UPLOAD_MEGABYTES} MB, got {len(data) / 2**20:.1f} MB")
    runs = run_csv.read_csv(data) if name.lower().endswith(".csv") else run_file.read_runs(data)
    if len(runs) > MOST_IMPORTED:
        raise InputError(f"file must hold at most {MOST_IMPORTED:,} runs, got {len(runs):,}")
    check(runs)
    return runs


def files(points: Sequence[Entry]) -> None:
    """Draw import and export."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Import runs**")
        st.file_uploader(
            f"JSON, packed JSON or CSV of runs, at most {UPLOAD_MEGABYTES} MB", type=["json", "gz", "csv"],
            key="_compare upload", max_upload_size=UPLOAD_MEGABYTES, on_change=_take_upload,
            help="What this page, `sdqviz sweep` or a colleague exported. Read as data only, kept for this session "
            "alone, never written to disk.",
        )  # fmt: skip
        problem = st.session_state.get("_compare problem")
        if problem:
            st.error(problem)
        for name, runs in imported().items():
            st.caption(f"{_safe(name)}: {len(runs):,} runs.")
        if imported():
            st.button("Forget imported runs", on_click=imported().clear, help="The shipped sweep and this session's "
                      "runs stay.")  # fmt: skip
    with right:
        st.markdown("**Export the runs shown**")
        shown = [run for one in points for run in one.runs]
        st.download_button(
            "JSON, everything", lambda: to_json(shown), "sdqviz-runs.json", "application/json", on_click="ignore",
            width="stretch", help="Choices and reports with every layer; this page reads it again.",
        )  # fmt: skip
        st.download_button(
            "CSV, a row a run", lambda: run_csv.write_csv(shown), "sdqviz-runs.csv", "text/csv", on_click="ignore",
            width="stretch", help="For a spreadsheet; layers are left out. This page reads it again.",
        )  # fmt: skip
        st.caption(f"{len(shown):,} runs. The HTML report of this view is in the sidebar.")


def to_json(runs: Sequence[Run]) -> bytes:
    """Return runs as the JSON file that `sdqviz.experiments.run_file.write_runs` writes."""
    return run_file.runs_as_json(runs)


def _take_upload() -> None:
    upload = st.session_state["_compare upload"]
    st.session_state["_compare problem"] = ""
    if upload is None:
        return
    name = upload.name[-LONGEST_NAME:]
    try:
        runs = read_file(name, upload.getvalue())
        others = sum(len(found) for other, found in imported().items() if other != name)
        if others + len(runs) > MOST_IMPORTED:
            raise InputError(f"imported runs must be at most {MOST_IMPORTED:,} together, got {others + len(runs):,}")
        imported()[name] = runs
    except InputError as error:
        st.session_state["_compare problem"] = f"{error}."


def _safe(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in " .-_," else "?" for letter in text)
