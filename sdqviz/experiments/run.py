"""A finished run: what was asked, what came of it, and what it is found by."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdqviz import asset
from sdqviz.compression.question import Question
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.networks import training
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.report import Report
from sdqviz.strict_json import WORDS, canonical, number, spelled
from sdqviz.version import __version__

if TYPE_CHECKING:
    from sdqviz.compression.question import Attempt
    from sdqviz.networks.catalogue.network_choice import NetworkChoice


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One compression that was tried: what was asked, and the report or why there is none.

    Attributes
    ----------
    key : str
        What it is found by, see `run_key`.
    network, method : dict
        The choices, as their ``to_dict``.
    calibration : int
        How many calibration inputs.
    seed : int
        Seed of the run.
    report : Report or None
        What was measured; None if the run failed.
    problem : str
        Why it failed, one sentence; empty if it did not.
    seconds : float
        Time the run took, testing included, loading the network not.
    version : str
        Version of the engine that ran it.
    label : str
        What people call it.
    measured : mapping of str to float
        What an experiment measured beside the report.
    """

    key: str
    network: Mapping[str, Any]
    method: Mapping[str, Any]
    calibration: int
    seed: int
    report: Report | None
    problem: str = ""
    seconds: float = 0.0
    version: str = __version__
    label: str = ""
    measured: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, tried: Attempt, weights: str, **measured: float) -> Run:
        """Return the row of an attempt on a network with this fingerprint."""
        asked = tried.question
        return cls(
            question_key(asked, weights), asked.network.to_dict(), asked.method.to_dict(), asked.calibration,
            asked.seed, tried.report, tried.problem, tried.seconds, label=asked.label, measured=measured,
        )  # fmt: skip

    @property
    def question(self) -> Question:
        """What was asked.

        Raises
        ------
        InputError
            If this version does not know the network, the method or one of their fields.
        """
        network, method = NETWORKS.from_dict(self.network), METHODS.from_dict(self.method)
        return Question(network, method, self.calibration, self.seed, self.label)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as strict JSON types; numbers that are not finite become "NaN" or "±Infinity"."""
        return {
            "key": self.key,
            "network": dict(self.network),
            "method": dict(self.method),
            "calibration": self.calibration,
            "seed": self.seed,
            "report": None if self.report is None else spelled(self.report.to_dict()),
            "problem": self.problem,
            "seconds": self.seconds,
            "version": self.version,
            "label": self.label,
        } | ({"measured": spelled(self.measured)} if self.measured else {})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Run:
        """Invert `to_dict`.

        Raises
        ------
        InputError
            If something is missing, unknown, or of another type.
        """
        try:
            rest = dict(values)
            report = rest.pop("report")
            measured = {str(name): _number(value) for name, value in rest.pop("measured", {}).items()}
            found = cls(report=None if report is None else Report.from_dict(report), measured=measured, **rest)
            problem = _misfit(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem is not None:
            raise InputError(f"a stored run must have the fields of this version ({__version__}), got {problem}")
        return found

    def figures(self) -> dict[str, Any]:
        """Return `to_dict` without times and label: what must be the same wherever and whenever it runs."""
        values = self.to_dict()
        del values["seconds"], values["label"]
        if values["report"] is not None:
            values["report"]["seconds"] = 0.0
            for row in values["report"]["layers"]:
                row["seconds"] = 0.0
        return values


def run_key(
    network: Mapping[str, Any],
    method: Mapping[str, Any],
    calibration: int,
    seed: int,
    fingerprint: str,
    version: str = __version__,
) -> str:
    """Return the SHA-256 of everything a run depends on, as hexadecimal digits.

    Parameters
    ----------
    network, method : dict
        The choices, as their ``to_dict``; the order of the entries does not matter.
    calibration, seed : int
        How many calibration inputs, and the seed.
    fingerprint : str
        Of the network's weights, see `fingerprint`.
    version : str
        Version of the engine.
    """
    values = {
        "network": dict(network),
        "method": dict(method),
        "calibration": calibration,
        "seed": seed,
        "fingerprint": fingerprint,
        "version": version,
    }
    return hashlib.sha256(canonical(values).encode()).hexdigest()


def question_key(question: Question, weights: str) -> str:
    """Return the key of a question's run by this version on a network whose weights have this fingerprint."""
    choices = question.network.to_dict(), question.method.to_dict()
    return run_key(*choices, question.calibration, question.seed, weights)


def fingerprint(choice: NetworkChoice) -> str:
    """Return a hash of the trained weights of a network: of its file where it has one, so that nothing is loaded.

    Parameters
    ----------
    choice : NetworkChoice
        A network that is ready; others have no weights yet.

    Raises
    ------
    InputError
        If the network has to be trained first, or a shipped file is missing or damaged.
    """
    if not choice.ready:
        raise InputError(f"network {choice.name} with seed {choice.seed} must be trained first, got no weights")
    if choice.shipped:
        return asset.sha256(asset.path(f"networks/{training.file_name(choice)}"))
    file = training.cache_folder() / training.file_name(choice)
    return asset.sha256(file) if file.is_file() else _loaded_fingerprint(choice)


@functools.lru_cache(maxsize=32)
def _loaded_fingerprint(choice: NetworkChoice) -> str:
    return choice.load().fingerprint


# -- what a file may say -------------------------------------------------------------------------------


def _number(value: Any) -> float:
    if not isinstance(value, float | int) and value not in WORDS:
        raise TypeError(f"a measured {value!r}")
    return number(value)


_FIELDS: dict[str, type[Any] | tuple[type[Any], ...]] = {
    "key": str,
    "network": dict,
    "method": dict,
    "calibration": int,
    "seed": int,
    "problem": str,
    "seconds": (int, float),
    "version": str,
    "label": str,
}


def _misfit(run: Run) -> str | None:
    """Return what is wrong with the types of a run's fields, or None."""
    for name, kind in _FIELDS.items():
        if not isinstance(getattr(run, name), kind):
            return f"{name} {getattr(run, name)!r}"
    if (run.report is None) != bool(run.problem):
        return "neither a report nor a problem" if run.report is None else "a report and a problem"
    return None
