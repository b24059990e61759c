"""The Compare page's own runs: the search for the smallest size, and sweeps that are built on the page."""

from __future__ import annotations

import functools
import math
import os
import shutil
import statistics
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from sdqviz.choice import PerLayer, Spec
from sdqviz.error import InputError
from sdqviz.experiments import target
from sdqviz.experiments.compare import trail
from sdqviz.experiments.compare.entry import Entry
from sdqviz.experiments.compare.filters import ALL
from sdqviz.experiments.compare.questions import told
from sdqviz.experiments.run import Run
from sdqviz.experiments.run_store import RunStore
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.plots.search import draw_search
from sdqviz.progress import Progress, ShouldStop
from sdqviz.strict_json import canonical, write_json
from sdqviz.ui import history, job, show
from sdqviz.ui.screen import Page

if TYPE_CHECKING:  # plans speak of questions, which load torch
    from sdqviz.experiments.sweep import Sweep
    from sdqviz.experiments.sweep_plan import Plan

MOST_RUNS = 300
"""Runs of one sweep from the page; larger plans belong on the command line."""

RUN_SECONDS = 300.0
"""Time one run of a sweep may take."""

STARTING = {"round-to-nearest": {"bits": "1, 2, 3, 4"}, "frame": {"bits": "1, 2", "redundancy": "1.5, 2"}}
"""Values at first of a sweep's fields."""

_MEMORY, _SO_FAR, _FOLDER, _SEEN = "_target memory", "_target so far", "_sweep folder", "_sweep seen"


def memory() -> target.Memory:
    """Return the trials of this session's searches, which none runs again."""
    found: dict[str, Run] = st.session_state.setdefault(_MEMORY, {})
    return found


def collect() -> None:
    """Take what searches and sweeps have finished into this session's history."""
    known = history.kept()
    history.add([run for run in list(memory().values()) if run.key not in known])
    file = _store_file(make=False)
    if file is not None and file.is_file():
        with RunStore(file) as store:
            if len(store) != st.session_state.get(_SEEN, 0):
                st.session_state[_SEEN] = len(store)
                history.add(store.runs())


# -- the smallest size ------------------------------------------------------------------------------


def smallest(page: Page, runs: Sequence[tuple[Run, str]]) -> None:
    """Draw the form of the search, its progress, and what it found."""
    name = page.choices["network"]
    if name == ALL or name not in NETWORKS:
        st.info("Choose one of the catalogue's networks at the left: the search compresses it again and again.")
        return
    if not NETWORKS[name].with_data:
        st.info(f"The network {name} comes without data, so there is no accuracy to keep; choose another at the left.")
        return
    left, middle, right = st.columns(3)
    goal = number_box(page, left, "goal", 97.5, "Test accuracy to keep, %", 1.0, 100.0,
                      "The search looks for the fewest bits per original weight that keep it.")  # fmt: skip
    seed = number_box(page, middle, "goal_seed", 0, "Network seed", 0, 9999, "Which training run of the network.")
    inputs = number_box(page, right, "goal_calibration", 512, "Calibration inputs", 16, 4096,
                     "Of every run. The inputs the search decides on are others.")  # fmt: skip
    chosen = tuple(filter(None, page.choices["methods"].split(","))) or tuple(sorted(METHODS))
    aim = target.Aim(NETWORKS[name](seed=seed), goal / 100, chosen, calibration=inputs)
    searched = [name for name in chosen if target.lines(name)]
    st.caption(
        f"Searches {', '.join(map(METHODS.called, searched)) or 'nothing'} (of the methods chosen at the left): "
        f"at most {target.most_runs(aim)} runs, each a second or less on small networks. Finished runs are kept, so "
        "that a search goes on where it was."
    )
    slot: job.Job[target.Search] = job.slot("target")
    if not slot.running and st.button("Search", type="primary", help="Runs beside the page; Cancel stops it."):
        kept = st.session_state[_SO_FAR] = {}
        slot.start(functools.partial(target.find, aim, memory(), so_far=functools.partial(kept.__setitem__, aim)), aim)
        st.rerun()
    partial: target.Search | None = st.session_state.get(_SO_FAR, {}).get(aim)
    stopped = slot.cancelled and partial is not None
    if not stopped:
        slot.show()
    found = partial if stopped else slot.result
    if found is None:
        return
    if not stopped:
        drawn_with(slot)
        if slot.made_for != aim:
            st.info("The result below belongs to an earlier goal.")
    st.markdown(trail.sentence(found) + _stored_sentence(found, runs))
    show.panel(draw_search(found, page.ink), page)
    columns = page.tables["The search's trail"] = trail.trail(found)
    st.dataframe(columns, hide_index=True, key="_table target")


def _stored_sentence(found: target.Search, runs: Sequence[tuple[Run, str]]) -> str:
    """Say whether a stored run of a method that no search runs is a candidate too."""
    stored = target.among(found.aim, [run for run, _ in runs])
    if stored is None or (found.best is not None and target.size(found.best) <= target.size(stored)):
        return ""
    return f" Among the stored runs a smaller one keeps the accuracy on the test inputs: {told(Entry((stored,), ''))}."


def number_box(page: Page, box: Any, key: str, default: Any, label: str, low: Any, high: Any, help: str) -> Any:
    """Draw a box for a number that is in the link; return its value."""
    value = box.number_input(label, low, high, default, key=key, help=help, bind="query-params")
    page.link.declare(key, value, default, type(default), Spec(label, help, low, high))
    return value


def _line(page: Page, box: Any, key: str, default: str, label: str, help: str, hint: str = "") -> str:
    text = box.text_input(label, default, key=key, max_chars=400, help=help, placeholder=hint, bind="query-params")
    page.link.declare(key, text, default, str, Spec(label, help))
    return str(text)


# -- sweeps -----------------------------------------------------------------------------------------


def sweep(page: Page, networks: Sequence[str], methods: Sequence[str], runs: Sequence[tuple[Run, str]]) -> None:
    """Draw the builder of a sweep, what it would take, its file, and its progress.

    Parameters
    ----------
    page : Page
        The page.
    networks, methods : sequence of str
        What is swept over.
    runs : sequence of (Run, str)
        Finished runs: how long they took says how long these will.
    """
    if not networks or not methods:
        st.info("Choose at least one network and one method.")
        return
    first, second, third, fourth = st.columns(4)
    seeds = _line(page, first, "sweep_seeds", "0", "Seeds of the runs", "Whole numbers, separated by commas.")
    nets = _line(
        page, second, "sweep_networks_seeds", "0", "Network seeds", "Which training runs; 0, 1, 2 are shipped."
    )
    inputs = number_box(page, third, "sweep_calibration", 512, "Calibration inputs", 16, 4096, "Of every run.")
    cores = os.cpu_count() or 1
    workers = number_box(page, fourth, "sweep_workers", 1, "Workers", 1, cores, "Processes, with one thread each.")
    groups = [_group(page, name) for name in methods]
    values: dict[str, Any] = {
        "title": "Built on the Compare page",
        "network": list(networks),
        "network_choices": {"seed": numbers("network seeds", nets, int)},
        "calibration": inputs,
        "seed": numbers("seeds", seeds, int),
        "runs": groups,
    }
    with st.spinner("Reading the libraries"):
        plan = _checked(values)
    told_time = _estimate(plan, runs, workers)
    text = toml(values)
    slot: job.Job[Sweep] = job.slot("sweep")
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    left.markdown(f"**{len(plan):,} runs**, {told_time}.")
    right.download_button(
        "Sweep, TOML", text, "sweep.toml", "application/toml", on_click="ignore", width="stretch",
        help="The same sweep on the command line: sdqviz sweep sweep.toml",
    )  # fmt: skip
    fits = len(plan) <= MOST_RUNS
    why = "" if fits else f"At most {MOST_RUNS} runs from the page; take the TOML file to the command line."
    if not slot.running and st.button(
        "Run the sweep", type="primary", disabled=not fits,
        help=why or "Runs beside the page; finished runs are kept, so that it goes on where it was.",
    ):  # fmt: skip
        slot.start(functools.partial(_work, plan, _store_file(make=True), workers), canonical(values))
        st.rerun()
    if why:
        st.caption(why)
    slot.show()
    if slot.result is not None:
        drawn_with(slot)
        done = slot.result
        st.caption(
            f"The last sweep: {done.computed} runs in {done.seconds:.0f} s, {done.reused} were there already, "
            f"{len(done.failures)} failed. They are among those of this session."
        )
    with st.expander("The sweep as a file"):
        st.code(text, language="toml")


def drawn_with(slot: job.Job[Any]) -> None:
    """Draw the page once more if it was begun before the work was done, so that its runs are in the plots too."""
    memory = f"_drawn with {id(slot)}"
    if st.session_state.get(memory) is not slot.result:
        st.session_state[memory] = slot.result
        st.rerun()


class _Folder:
    """A folder that is deleted when nothing refers to this any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="sdqviz-sweep-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _work(plan: Plan, file: Path, workers: int, progress: Progress, should_stop: ShouldStop) -> Sweep:
    from sdqviz.experiments import sweep as engine

    with RunStore(file) as store:
        limits = engine.Limits(seconds=RUN_SECONDS)
        return engine.run(plan, store, jobs=workers, limits=limits, progress=progress, should_stop=should_stop)


def _checked(values: Mapping[str, Any]) -> Plan:
    from sdqviz.experiments.sweep_plan import Plan

    return Plan.from_dict(values)


def _store_file(*, make: bool) -> Any:
    """Return this session's database of sweeps, or None; its folder goes when the session does."""
    if make and _FOLDER not in st.session_state:
        st.session_state[_FOLDER] = _Folder()
    folder = st.session_state.get(_FOLDER)
    return None if folder is None else folder.path / "runs.sqlite"


def _group(page: Page, name: str) -> dict[str, Any]:
    """Draw the fields of a method, one line each; return its group of the plan."""
    cls = METHODS[name]
    usual, choices = STARTING.get(name, {}), {}
    kinds = cls.kinds()
    fields = [field for field, spec in cls.specs().items() if kinds[field] != PerLayer and not spec.advanced]
    with st.expander(cls.title, expanded=len(fields) <= 6):
        columns = st.columns(3)
        for place, field in enumerate(fields):
            spec, default = cls.specs()[field], cls.defaults()[field]
            names = spec.option_names()
            told = f"{spec.help} Values separated by commas." + (f" Of {', '.join(names)}." if names else "")
            text = _line(
                page, columns[place % 3], f"sweep.{name}.{field}", usual.get(field, ""), spec.label, told,
                "by rule" if default is None else str(default),
            )  # fmt: skip
            if text.strip():
                choices[field] = numbers(field, text, kinds[field])
    return {"method": name, "choices": choices}


def numbers(name: str, text: str, kind: type) -> list[Any]:
    """Read values separated by commas.

    Parameters
    ----------
    name : str
        For the message.
    text : str
        What was written.
    kind : type
        ``int``, ``float``, ``bool`` or ``str``.

    Raises
    ------
    InputError
        If there is none, or one cannot be read.

    Examples
    --------
    >>> numbers("bits", "1, 2,4", int), numbers("finite", "true, false", bool)
    ([1, 2, 4], [True, False])
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise InputError(f"{name} must have at least one value, got none")
    if kind is bool:
        if not set(map(str.lower, parts)) <= {"true", "false"}:
            raise InputError(f"{name} must be true or false, got {text[:40]!r}")
        return [part.lower() == "true" for part in parts]
    try:
        found = [kind(part) for part in parts]
    except ValueError:
        raise InputError(f"{name} must be numbers separated by commas, got {text[:40]!r}") from None
    if kind is float and not all(map(math.isfinite, found)):
        raise InputError(f"{name} must be finite, got {text[:40]!r}")
    return found


def _estimate(plan: Plan, runs: Sequence[tuple[Run, str]], workers: int) -> str:
    """Say how long a plan may take, from runs like its own."""
    times: dict[tuple[str, str], list[float]] = {}
    for run, _ in runs:
        if run.report is not None:
            times.setdefault((str(run.network.get("name")), str(run.method.get("name"))), []).append(run.seconds)
    known = [times.get((one.network.name, one.method.name)) for one in plan.runs]
    seconds = sum(statistics.median(found) for found in known if found) / workers
    missing = sum(found is None for found in known)
    if missing == len(known):
        return "of a kind that has not been run here: how long they take is not known"
    rest = f", and {missing} whose time is not known" if missing else ""
    return f"about {seconds:.0f} s by the times of runs like them{rest}"


def toml(values: Mapping[str, Any]) -> str:
    """Write a plan as the file that ``sdqviz sweep`` reads.

    Examples
    --------
    >>> print(toml({"network": ["mnist-fnn"], "runs": [{"method": "frame", "choices": {"bits": [1, 2]}}]}))
    network = ["mnist-fnn"]
    <BLANKLINE>
    [[runs]]
    method = "frame"
    choices = { bits = [1, 2] }
    <BLANKLINE>
    """
    lines = [f"{name} = {_toml(value)}" for name, value in values.items() if name != "runs"]
    for group in values["runs"]:
        lines += ["", "[[runs]]", *(f"{name} = {_toml(value)}" for name, value in group.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return write_json(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(entry)}" for name, entry in value.items()) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)
