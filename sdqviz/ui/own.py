"""Which network the Network page looks at: one of the catalogue, of torchvision, or of the user's own files.

What is uploaded stays in this session's memory: no file, no cache of the process and no other session sees it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import streamlit as st

from sdqviz.error import InputError
from sdqviz.explore import what_if
from sdqviz.explore.network.link import DEFAULTS, OWN, TORCHVISION, made
from sdqviz.networks import own_weights
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.networks.catalogue.torchvision_zoo import WELL_KNOWN
from sdqviz.networks.network import Network
from sdqviz.networks.own_weights import OwnNetwork
from sdqviz.ui.screen import Page

LARGEST = 100
"""MiB of an uploaded file, at most; the engine refuses larger ones too."""

ALONE = "weights alone"
"""What the box of architectures offers where there is none."""

THEIRS, MINE = "its own", "your file"
"""What the box of data offers."""

HELD = "_own network"


@dataclasses.dataclass(frozen=True, eq=False)
class Held:
    """What this session brought, and everything computed from it.

    Attributes
    ----------
    made_from : tuple
        The uploads and the architecture.
    choice : OwnNetwork
        What stands for the network in questions.
    network : Network
        The network.
    kept : Kept
        Where its answers are kept.
    """

    made_from: tuple[object, ...]
    choice: OwnNetwork
    network: Network
    kept: what_if.Kept


def choose(page: Page) -> NetworkChoice | None:
    """Draw the boxes for the network and its data, and the uploads they ask for; None while a file is missing.

    Raises
    ------
    InputError
        If a file cannot be used.
    """
    name = page.ask(
        "network",
        DEFAULTS["network"],
        label="Network",
        help="Each has its own form below.",
        options={**NETWORKS.titles(), TORCHVISION: "One of torchvision's", OWN: "Weights of your own"},
        where="what",
    )
    base = _architecture(page) if name == OWN else _catalogue(page, name)
    weights = None
    if name == OWN:
        kinds = ["safetensors"] if base is None else ["safetensors", "pt", "pth"]
        weights = _upload(page, "Weights", kinds, "Tensors of two or four axes are compressed, others are kept."
                          if base is None else "A state dict. A pickle that would run code is refused.")  # fmt: skip
    data = None
    with_data = base is not None and _asks_for_data(page)
    if with_data:
        data = _upload(page, "Data", ["npz"], "Arrays `images` and `labels`; every fifth image is kept to calibrate.")
    if name != OWN and not with_data:
        return base
    if (name == OWN and weights is None) or (with_data and data is None):
        missing = " and ".join(
            word for word, given, asked in (("weights", weights, name == OWN), ("data", data, with_data))
            if asked and given is None
        )  # fmt: skip
        st.info(
            f"Choose a file of {missing} at the left. It stays in the memory of this session alone and is gone when "
            "the session ends. A single vector can be pasted in the [ΣΔ Lab](sigma-delta?input=pasted)."
        )
        return None
    return _held(base, weights, data).choice


def kept(choice: NetworkChoice) -> what_if.Kept:
    """Return where answers about a network are kept: with this session, if it brought the network."""
    held: Held | None = st.session_state.get(HELD)
    return held.kept if held is not None and held.choice == choice else what_if.SHARED


def network(choice: NetworkChoice) -> Network | None:
    """Return a network that this session brought; None for any other."""
    held: Held | None = st.session_state.get(HELD)
    return held.network if held is not None and held.choice == choice else None


def _catalogue(page: Page, name: str) -> NetworkChoice:
    """Draw the form of a catalogue network, behind the box of torchvision's names where that is asked for."""
    if name == TORCHVISION:
        name = page.ask(
            "torchvision",
            "resnet18",
            label="torchvision's network",
            help="Its weights are used where torch's cache holds them; nothing is downloaded. Otherwise they are "
            "random, which is good for shapes and errors only.",
            options=WELL_KNOWN,
            where="what",
        )
    with st.spinner("Loading torchvision") if name in WELL_KNOWN else st.empty():
        kind: Any = NETWORKS[name]
    fixed = {"weights": ""} if "weights" in kind.specs() else {}  # no paths of the computer that serves the page
    return page.choose(kind, prefix="network_", where=dict.fromkeys(kind.specs(), "what"), fixed=fixed)


def _architecture(page: Page) -> NetworkChoice | None:
    name = page.ask(
        "architecture",
        ALONE,
        label="Architecture",
        help="Without one, methods that look at no data work on any matrices (rounding, frame quantization, "
        "magnitude pruning). With an architecture the file is its state dict.",
        options={ALONE: "None: weights alone", **NETWORKS.titles(), **{name: name for name in WELL_KNOWN}},
        where="what",
    )
    return None if name == ALONE else _catalogue(page, name)


def _asks_for_data(page: Page) -> bool:
    asked: str = page.ask(
        "data",
        THEIRS,
        label="Data",
        help="Errors are measured, methods calibrated and accuracies tested on the data the network comes with, if "
        "any, or on an .npz file of yours.",
        options={THEIRS: "The network's own", MINE: "A file of yours"},
        where="what",
    )
    return asked == MINE


def _upload(page: Page, what: str, kinds: list[str], about: str) -> Any:
    return page.group("what").file_uploader(
        f"{what}: {', '.join('.' + kind for kind in kinds)}, at most {LARGEST} MiB",
        type=kinds,
        key=f"_own {what}",
        max_upload_size=LARGEST,
        help=f"{about} Nothing is written to disk, and nothing is kept after the session.",
    )


def _held(base: NetworkChoice | None, weights: Any, data: Any) -> Held:
    """Return what these uploads make, made once."""
    made_from = (base, *(None if file is None else file.file_id for file in (weights, data)))
    held: Held | None = st.session_state.get(HELD)
    if held is not None and held.made_from == made_from:
        return held
    st.session_state.pop(HELD, None)  # before the next one is made: two need not be in memory
    with st.spinner("Reading"):
        network, code = _read(base, weights, data)
    contents = [file.getvalue() for file in (weights, data) if file is not None]
    choice = own_weights.choice_of(network, code, *contents)
    outcome = Held(made_from, choice, network, what_if.Kept(answers=4, weight=128e6))
    outcome.kept.networks.put(choice, network)
    st.session_state[HELD] = outcome
    return outcome


def _read(base: NetworkChoice | None, weights: Any, data: Any) -> tuple[Network, str]:
    """Return the network, and the Python expression that makes it."""
    most = LARGEST << 20
    if weights is not None and base is None:
        found = own_weights.read_weights(weights.getvalue(), weights.name, most)
        code = f"own_weights.read_weights(Path({weights.name!r}))"
        len(found.layers)  # refuses what is not finite
    elif weights is not None and base is not None:
        found = own_weights.network(base, weights.getvalue(), weights.name, most)
        code = f"own_weights.network({made(base)}, Path({weights.name!r}))"
    elif base is not None:
        if not base.ready:
            raise InputError(f"network {base.name} must be trained before it takes your data, got seed {base.seed}")
        found, code = what_if.network(base), f"{made(base)}.load()"
    else:
        raise InputError("network must be given to use data of one's own, got none")
    if data is not None:
        found = found.with_data(own_weights.read_dataset(data.getvalue(), data.name, most))
        code = f"{code}.with_data(own_weights.read_dataset(Path({data.name!r})))"
    return found, code
