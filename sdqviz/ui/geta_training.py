"""Training beside the GETA page: what one session trains, Run, Resume, and what may be said of it."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from sdqviz.experiments.compare import link
from sdqviz.explore.geta import run as runs
from sdqviz.methods.geta import recording
from sdqviz.methods.geta.recording import Recording
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.progress import Progress, ShouldStop
from sdqviz.ui import job

if TYPE_CHECKING:
    from sdqviz.compression.compress import Compression
    from sdqviz.methods.geta import Geta

LIVE = "_geta live"
"""Where a session keeps its training."""


@dataclasses.dataclass(frozen=True)
class Training:
    """What is to be trained."""

    network: NetworkChoice
    method: Geta
    seed: int
    beside: bool


@dataclasses.dataclass(eq=False)
class Live:
    """What one session trains: the worker writes, the page reads; whole values are exchanged, never parts.

    Attributes
    ----------
    training : Training
        What it is.
    recording : Recording or None
        What was recorded so far; None before the first step.
    compression : Compression or None
        The finished network.
    folder : Path
        Holds the checkpoint; it goes when the session does.
    """

    training: Training
    recording: Recording | None = None
    compression: Compression | None = None
    folder: Path = dataclasses.field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="sdqviz-geta-")))
    _alone: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """See to it that the folder goes when the session does, or the program ends."""
        self._removal = weakref.finalize(self, shutil.rmtree, self.folder, True)

    @property
    def working(self) -> bool:
        """Whether it is being trained, or its last checkpoint written."""
        return self._alone.locked()

    def take(self, grown: Recording) -> None:
        """Keep what was recorded."""
        self.recording = grown

    def work(self, progress: Progress, should_stop: ShouldStop) -> Recording:
        """Train from the last checkpoint on; the work of a job."""
        from sdqviz.experiments import geta_figures

        asked = self.training
        with self._alone:  # a run that was just cancelled writes its checkpoint first
            done = geta_figures.run(
                asked.network, asked.method, asked.seed, progress, should_stop, self.folder / "state", self.take,
                asked.beside,
            )  # fmt: skip
            self.compression, self.recording = done.compression, done.recording
        return done.recording


def control(wanted: Training | None) -> Live | None:
    """Draw Run or Resume, or why there is nothing to run; return the session's training, if there is one."""
    slot: job.Job[Recording] = job.slot("geta", lasting=True)
    live: Live | None = st.session_state.get(LIVE)
    if slot.running:
        if live is not None and wanted != live.training:
            st.caption("The form has changed since; the run under way keeps the choices it was started with.")
        return live
    if slot.problem and not slot.cancelled:
        st.error(f"{slot.problem}.")
    st.markdown(_state(live, wanted))
    same = live is not None and live.training == wanted
    resumable = same and live is not None and not _finished(live)
    left, middle, _ = st.columns([1, 1, 1])
    if resumable and left.button(
        "Resume", type="primary", icon=":material/resume:", width="stretch",
        help="Goes on from where it stopped, to the same result as without the break.",
    ):  # fmt: skip
        _start(live)
    pressed = (middle if resumable else left).button(
        "Run again" if same else f"Run ({_estimate(wanted)})",
        type="secondary" if same else "primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=wanted is None,
        help="The form at the left does not fit together yet." if wanted is None else
        "Trains beside the page; you can look at other pages meanwhile. Closing the browser ends it after a while.",
    )  # fmt: skip
    if pressed and wanted is not None:
        st.session_state[LIVE] = Live(wanted)
        _start(st.session_state[LIVE])
    return live


def _start(live: Live | None) -> None:
    if live is not None:
        job.slot("geta", lasting=True).start(live.work, live.training)
        st.rerun()


def _finished(live: Live) -> bool:
    return live.recording is not None and live.recording.finished


def _state(live: Live | None, wanted: Training | None) -> str:
    """Say where the run of this session stands, or that there is none yet."""
    run = None if live is None else live.recording
    if live is None or run is None:
        return "Nothing has been trained in this session yet."
    done = run.moments[-1].step if run.moments else 0
    told = (
        f"Finished in {run.seconds:.0f} s"
        if run.finished
        else f"Stopped after {done:,} of {run.steps:,} steps; what was recorded is shown below"
    )
    return f"{told}: {runs.title(run)}." + ("" if live.training == wanted else " The form describes another run.")


def _estimate(asked: Training | None) -> str:
    """Say how long a run may take, going by recorded runs."""
    if asked is None:
        return "nothing to run"
    method, rate = asked.method.to_dict(), seconds_of_an_input(asked.network.name)
    if rate is None:
        return "takes minutes"
    steps = sum(value for key, value in method.items() if key.endswith("_steps"))
    return f"about {span(steps * method['batch'] * rate * (1 + asked.beside))}"


def seconds_of_an_input(network: str) -> float | None:
    """Return the seconds one input of one step takes: as recorded, or between networks of fewer and more MACs.

    Parameters
    ----------
    network : str
        Name in the catalogue.

    Returns
    -------
    float or None
        None for a network of which neither a recording nor a shipped run tells the MACs.
    """
    known: dict[str, tuple[float, float]] = {}
    for run in map(runs.load, recording.shipped()):
        if run.report is not None and run.seconds > 0:
            rate = run.seconds / run.steps / run.method.get("batch", 64)
            known.setdefault(str(run.network.get("name")), (run.report["original_macs"], rate))
    if network in known:
        return known[network][1]
    macs = (one.report.original_macs for one in link.shipped() if one.report and one.network.get("name") == network)
    found = next(macs, None)
    if found is None or not known:
        return None
    recorded = np.array(sorted(known.values()))
    return float(np.interp(found, recorded[:, 0], recorded[:, 1]))


def span(seconds: float) -> str:
    """Return a time in seconds or minutes, as words."""
    return f"{max(seconds, 1):.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
