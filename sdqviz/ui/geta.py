"""What the GETA page has of its own: which run is shown, how it is drawn while it grows, Cancel, and the downloads."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from sdqviz.error import InputError
from sdqviz.explore.geta import beside as ways
from sdqviz.explore.geta import run as runs
from sdqviz.explore.geta import words
from sdqviz.explore.wording import number, percent, size
from sdqviz.methods import METHODS
from sdqviz.methods.geta.recording import Recording
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.plots.geta import beside as drawn_beside
from sdqviz.plots.geta import steps as drawn_steps
from sdqviz.ui import choices as page_choices
from sdqviz.ui import history, job, show
from sdqviz.ui.geta_training import Live, Training, control, span
from sdqviz.ui.screen import Page

if TYPE_CHECKING:
    from sdqviz.compression.compress import Compression
    from sdqviz.methods.geta import Geta

RECORDED, TRAINED, UPLOADED = "recorded", "trained here", "uploaded"
VIEWS = (RECORDED, TRAINED, UPLOADED)

STEPS = 10_000
"""The most steps of one stage that the page offers."""

LIMITS: dict[str, tuple[float, float]] = {
    "warm_up_steps": (0, STEPS),
    "projection_steps": (1, STEPS),
    "joint_steps": (1, STEPS),
    "cool_down_steps": (0, STEPS),
    "projection_periods": (1, 50),
    "pruning_periods": (1, 50),
    "batch": (2, 512),
}
"""What the page offers; the engine takes more."""

LARGEST_UPLOAD = 8
"""MiB a recording may have as a file; it is read in memory and kept nowhere."""

REDRAWN = 1.5
"""Seconds between two pictures of a run that grows."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the form says: which run is wanted, and what to train where that is wanted.

    Attributes
    ----------
    view : str
        One of `VIEWS`.
    recording : str
        Name of the shipped recording.
    training : Training or None
        What the form describes; None where it is not shown or does not fit together.
    """

    view: str
    recording: str
    training: Training | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """The run that the page draws.

    Attributes
    ----------
    run : Recording
        With at least one moment.
    live : Live or None
        The session's own training, if that is what is shown.
    growing : bool
        Whether it is still under way.
    """

    run: Recording
    live: Live | None = None
    growing: bool = False


# -- the form -------------------------------------------------------------------------------------------


def ask(page: Page) -> Asked:
    """Draw the form: which run, and, where one is to be trained here, with what."""
    view = page.ask(
        "view",
        RECORDED,
        label="Run",
        help="A recorded run is there at once. Training here goes on beside the page; that run took "
        f"{span(runs.load(runs.names()[0]).seconds)}, and the button says how long yours may take. A recording that "
        "was downloaded before can be looked at again.",
        options={RECORDED: "A recorded run", TRAINED: "Trained here", UPLOADED: "A recording of yours"},
        where="what",
    )
    names = runs.names()
    chosen = names[0]
    if view != TRAINED:
        chosen = page.ask(
            "recording",
            names[0],
            label="Recorded run",
            help="Trained beforehand with this program, step by step on record, the baselines beside it.",
            options={name: runs.title(runs.load(name)) for name in names},
            where="what",
        )
        return Asked(view, chosen)
    return Asked(view, chosen, page.attempt(functools.partial(_form, page), lambda: None))


def _form(page: Page) -> Training | None:
    network = _network(page)
    method = page.choose(cast("type[Geta]", METHODS["geta"]), limits=LIMITS)
    seed = page.ask(
        "seed",
        0,
        label="Seed",
        help="Decides the order of the training inputs: the same link gives the same run.",
        minimum=0,
        maximum=2**31 - 1,
        where="more",
    )
    beside = page.ask(
        "beside",
        False,
        label="Baselines too",
        help="Afterwards also prune the smallest units and fine-tune just as long, and round without training at equal "
        "BOPs. About twice the time.",
        where="how",
    )
    return Training(network, method, seed, beside)


def _network(page: Page) -> NetworkChoice:
    name = page.ask(
        "network",
        "mnist-lenet",
        label="Network",
        help="What is made smaller. Convolutions take a multiple of the time of linear layers.",
        options={name: title for name, title in NETWORKS.titles().items() if NETWORKS[name].with_data},
        where="what",
    )
    return page.choose(NETWORKS[name], prefix="network_", where={"seed": "what"})


# -- which run is shown ---------------------------------------------------------------------------------


def run(page: Page, asked: Asked) -> Shown | None:
    """Return the run to draw, None while its first step is awaited; draw what starts, stops or uploads it first."""
    if asked.view == UPLOADED:
        given = _uploaded()
        if given is not None:
            return Shown(given)
    if asked.view == TRAINED:
        growing = job.slot("geta", lasting=True).running
        with st.container(border=not growing):
            live = control(asked.training)
        if live is not None and live.recording is not None and live.recording.moments:
            if not growing and live.training != asked.training:
                page.dim()
            return Shown(live.recording, live, growing)
        if live is not None and growing:
            _grow(page, live, False)
            return None
    shown = runs.load(asked.recording)
    if asked.view == TRAINED:
        st.info(f"Faint below, not of your choices: the recorded run {runs.title(shown)}.")
        page.dim()
    if asked.view == RECORDED:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Recorded: {runs.title(shown)}.", width="stretch")
            st.button(
                "Train this here",
                icon=":material/play_circle:",
                on_click=page_choices.apply,
                args=(_choices(shown),),
                help="Fills the form with what made this recording; training starts when you press Run.",
            )
    return Shown(shown)


def _choices(run: Recording) -> dict[str, Any]:
    """Return the controls that describe what made a recording."""
    method = {key: value for key, value in run.method.items() if key != "name"}
    if method.get("activation_bits_low") is None:  # a control with a default cannot be left open: say what it means
        method["activation_bits_low"] = method.get("bits_low")
    network = {f"network_{key}": value for key, value in run.network.items() if key != "name"}
    named = {"view": TRAINED, "network": run.network.get("name", "mnist-lenet"), "seed": run.seed}
    return named | network | method


def _uploaded() -> Recording | None:
    """Draw the box for a file; return the recording in it."""
    given = st.file_uploader(
        "Recording",
        type=["gz"],
        max_upload_size=LARGEST_UPLOAD,
        key="_upload geta",
        help=f"A file .json.gz that this page or `sdqviz` wrote of a run, at most {LARGEST_UPLOAD} MiB. It is read in "
        "memory, checked, and kept nowhere.",
    )
    if given is None:
        st.info("Choose a file; until then a recorded run is shown below.")
        return None
    try:
        return read_recording(given.getvalue(), given.name)
    except InputError as error:
        st.error(f"{error}. Below is a recorded run.")
        return None


def read_recording(data: bytes, name: str) -> Recording:
    """Read a recording that was uploaded.

    Raises
    ------
    InputError
        If it is too large, none, or empty.
    """
    if len(data) > LARGEST_UPLOAD << 20:
        raise InputError(f"{name} must be at most {LARGEST_UPLOAD} MiB, got {size(len(data))}")
    found = Recording.from_bytes(data, name)
    if not found.moments:
        raise InputError(f"{name} must hold at least one recorded step, got none")
    return found


# -- what is drawn --------------------------------------------------------------------------------------


def steps(page: Page, shown: Shown) -> None:
    """Draw the headline numbers and the run step by step; a growing run is drawn anew every moment."""
    if shown.growing and shown.live is not None:
        _grow(page, shown.live, True)
        return
    _headlines(shown.run)
    told = words.verdict(shown.run)
    if told:
        st.info(told)
    show.panel(drawn_steps.draw_steps(shown.run, page.ink), page)
    st.caption(words.descent(shown.run))


@st.fragment(run_every=REDRAWN)
def _grow(page: Page, live: Live, begun: bool) -> None:
    slot: job.Job[Recording] = job.slot("geta", lasting=True)
    grown = live.recording
    there = grown is not None and len(grown.moments) > 0
    if not slot.running or there != begun:
        st.rerun()
    fraction, line = slot.status()
    bar, button = st.columns([5, 1], vertical_alignment="center")
    bar.progress(fraction, text=line)
    if button.button("Cancel", key="_cancel geta", help="Stop; what was recorded stays, and it can be resumed."):
        slot.cancel()
        st.rerun()
    if grown is None or not there:
        st.caption(
            "The network is read and its channels are traced; the first step follows. Runs of several visitors are "
            "trained one after the other."
        )
        return
    _headlines(grown)
    latest = drawn_steps.draw_steps(grown, page.ink, scrub=False)
    page.drawn[:] = [one for one in page.drawn if one.name != latest.name]  # the report holds the latest alone
    show.panel(latest, page)


def _headlines(run: Recording) -> None:
    found = runs.figures(run)
    finished = found.bits_per_weight is not None
    bits = [*run.moments[-1].weight_bits.values()]
    show.headlines(
        show.Headline(
            "Bits per original weight",
            number(found.bits_per_weight) if found.bits_per_weight is not None else "…",
            words.size_note(run) if finished else
            (f"now {number(min(bits))} to {number(max(bits))} bits in the layers" if bits else ""),
            "Levels, steps, maps of what was removed and the tensors kept in float, over all original parameters.",
        ),
        show.Headline(
            "Accuracy after" if finished else "Accuracy so far",
            words.accuracy(found.accuracy_after),
            words.accuracy_note(run),
            "Share of the test inputs that are classified rightly; while a run grows, of the first 2,000.",
        ),
        show.Headline(
            "Relative BOPs",
            percent(found.relative_bops),
            words.removal_note(run),
            "MACs times bits of weights times bits of activations, over the original at 32 × 32 bits.",
        ),
    )  # fmt: skip


def costs(page: Page, shown: Shown) -> None:
    """Draw the run beside its baselines, and the table of costs before and after."""
    run = shown.run
    if run.beside:
        show.panels([drawn_beside.draw_beside(run, page.ink)], page, beside=functools.partial(_before_after, run))
        page.tables["Beside the baselines"] = ways.beside_table(ways.marks(run))
        st.markdown("**Beside the baselines**\n\n" + ways.beside_lines(run))
    elif run.finished:
        _before_after(run)
        st.caption("Baselines were not run beside this one; the recorded runs have them.")


def _before_after(run: Recording) -> None:
    st.markdown("**Before and after**\n\n" + words.counts(run))


def downloads(shown: Shown) -> None:
    """Draw the downloads: the recording, and of a run made here the smaller network."""
    run, live = shown.run, shown.live
    made = live.compression if live is not None and not shown.growing else None
    if live is not None and made is not None:
        history.remember(live.training.network, made.report, made.report.inputs, made.report.seconds)
    left, middle, right = st.columns(3)
    left.download_button(
        "Recording, json.gz", run.to_bytes, "sdqviz-geta.json.gz", "application/gzip", on_click="ignore",
        width="stretch", help="Everything on this page; it can be looked at again under Run: uploaded.",
    )  # fmt: skip
    why = "Only of a run that was finished here: choose Run: trained here."
    middle.download_button(
        "Smaller network, .sdq", b"" if made is None else made.to_bytes, "sdqviz-geta.sdq",
        "application/octet-stream", on_click="ignore", width="stretch", disabled=made is None,
        help=why if made is None else "What sq.load reads: levels bit-packed, steps, and what was cut out; no code.",
    )  # fmt: skip
    right.download_button(
        "Smaller network, safetensors", b"" if made is None else functools.partial(plain_tensors, made),
        "sdqviz-geta.safetensors", "application/octet-stream", on_click="ignore", width="stretch",
        disabled=made is None,
        help=why if made is None else "Plain float tensors of the smaller network, under their usual names.",
    )  # fmt: skip


def plain_tensors(made: Compression) -> bytes:
    """Return the smaller network as safetensors, under the usual names."""
    from safetensors.torch import save

    return save({name: tensor.contiguous() for name, tensor in made.network.module.state_dict().items()})
