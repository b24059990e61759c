"""Plans of sweeps: a TOML file or a dict of grids becomes a list of runs, checked as a whole before any of them."""

from __future__ import annotations

import dataclasses
import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sdqviz.choice import Choice
from sdqviz.compression.question import Question
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.methods.method import MethodChoice
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.catalogue.network_choice import NetworkChoice

MOST_RUNS = 10_000
"""Runs of one plan."""

MOST_BYTES = 1 << 20
"""Size of a plan's file."""

MOST_INPUTS = 60_000
"""Calibration inputs of one run."""

LARGEST_SEED = 2**31 - 1

SHARED = ("network", "network_choices", "method", "calibration", "seed")
"""Keys of a group that may also stand at the top of the file, for all groups that do not give them."""

KEYS = ("label", *SHARED, "choices")
"""Keys of a group."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Runs to be done, each once, in the order of the file.

    Attributes
    ----------
    runs : tuple of Question
        What is asked, with what people call it.
    title : str
        What the sweep is called.

    Notes
    -----
    A plan's file holds one table ``[[runs]]`` for each group of runs. A list is an axis of a grid: a group stands for
    every combination of its lists. The keys of a group are

    ``network``
        a name, or a list of names;
    ``network_choices``
        fields of the networks, for example ``{ seed = [0, 1, 2] }`` for three training runs;
    ``method``
        a name, or a list of names;
    ``choices``
        fields of the methods; fields that are left out have their defaults;
    ``calibration``
        calibration inputs of a run, 512 if left out;
    ``seed``
        seed of a run, 0 if left out;
    ``label``
        what people call these runs, followed by what differs between them; made from the choices if left out.

    All but ``choices`` and ``label`` may also stand at the top of the file, beside ``title``, for the groups that do
    not give them.

    Examples
    --------
    >>> plan = Plan.from_dict({"network": "mnist-fnn", "runs": [
    ...     {"method": "frame", "choices": {"bits": [1, 2], "redundancy": [2.0, 4.0]}},
    ...     {"method": ["gptq", "qronos"], "seed": [0, 1, 2]}]})
    >>> len(plan), plan.runs[1].label
    (10, 'frame: redundancy=4')
    """

    runs: tuple[Question, ...]
    title: str = ""

    def __len__(self) -> int:
        """Count the runs."""
        return len(self.runs)

    def of_network(self, network: NetworkChoice) -> Plan:
        """Return the same runs of another network, each once."""
        runs = dict.fromkeys(dataclasses.replace(asked, network=network) for asked in self.runs)
        return Plan(tuple(runs), self.title)

    @classmethod
    def read(cls, path: str | Path) -> Plan:
        """Read a plan's file.

        Raises
        ------
        InputError
            If it cannot be read, is no TOML, or `from_dict` refuses it.
        """
        file = Path(path)
        try:
            if file.stat().st_size > MOST_BYTES:
                raise InputError(f"plan {file.name} must be at most 1 MiB, got {file.stat().st_size / 2**20:.1f} MiB")
            values = tomllib.loads(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise InputError(f"plan {file.name} must be a TOML file that can be read, got {error}") from None
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Build a plan from what its file holds.

        Raises
        ------
        InputError
            If a key or a name is unknown, a value is not allowed (the group is named), there is nothing to run, or
            there are more than `MOST_RUNS` runs.
        """
        _refuse_unknown("a plan", values, ("title", "runs", *SHARED))
        groups = values.get("runs", [])
        if not isinstance(groups, list) or not groups or not all(isinstance(group, Mapping) for group in groups):
            raise InputError("a plan must have at least one table [[runs]], got none")
        found: dict[Question, Question] = {}
        count = 0
        for number, own in enumerate(groups, 1):
            where = f"runs {number}"
            try:
                _refuse_unknown("it", own, KEYS)
                group = _Group.of({key: values[key] for key in SHARED if key in values} | dict(own))
                count += group.count
                if count > MOST_RUNS:
                    raise InputError(f"a plan must have at most {MOST_RUNS:,} runs, got {count:,} or more")
                for asked in group.expanded():
                    found.setdefault(asked, asked)
            except InputError as error:
                raise InputError(f"{where}: {error}") from None
        return cls(tuple(found.values()), _text("title", values.get("title", "")))


@dataclasses.dataclass(frozen=True)
class _Group:
    """One table of a plan, its axes as lists."""

    networks: list[Any]
    network_choices: dict[str, list[Any]]
    methods: list[Any]
    choices: dict[str, list[Any]]
    calibrations: list[Any]
    seeds: list[Any]
    label: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> _Group:
        for key in ("network", "method"):
            if key not in values:
                raise InputError(f"{key} must be given, got none")
        return cls(
            _axis("network", values["network"]),
            _axes("network_choices", values.get("network_choices", {})),
            _axis("method", values["method"]),
            _axes("choices", values.get("choices", {})),
            _axis("calibration", values.get("calibration", 512)),
            _axis("seed", values.get("seed", 0)),
            _text("label", values.get("label", "")),
        )

    @property
    def count(self) -> int:
        """How many runs the group stands for, before any is made."""
        axes = [self.networks, self.methods, self.calibrations, self.seeds]
        return math.prod(map(len, [*axes, *self.network_choices.values(), *self.choices.values()]))

    def expanded(self) -> Iterator[Question]:
        calibrations = [_whole("calibration", value, MOST_INPUTS) for value in self.calibrations]
        seeds = [_whole("seed", value, LARGEST_SEED) for value in self.seeds]
        networks = [
            NETWORKS.from_dict({"name": name, **fields})
            for name in self.networks
            for fields in _combinations(self.network_choices)
        ]
        methods = [
            METHODS.from_dict({"name": name, **fields})
            for name in self.methods
            for fields in _combinations(self.choices)
        ]
        for network, method, calibration, seed in itertools.product(networks, methods, calibrations, seeds):
            yield Question(network, method, calibration, seed, self._label(method))

    def _label(self, method: MethodChoice) -> str:
        """Return the group's label with what differs between its methods."""
        if not self.label:
            return describe(method)
        values = method.to_dict()
        differs = [f"{name}={_shown(values[name])}" for name, axis in self.choices.items() if len(axis) > 1]
        differs = [method.name, *differs] if len(self.methods) > 1 else differs
        return f"{self.label} ({', '.join(differs)})" if differs else self.label


def describe(choice: Choice) -> str:
    """Return a choice in a few words: its name, and the fields that are not at their defaults.

    Examples
    --------
    >>> describe(METHODS["gpfq"](bits=2)), describe(METHODS["gpfq"]())
    ('gpfq: bits=2', 'gpfq')
    """
    defaults = choice.defaults()
    changed = [
        f"{name}={_shown(value)}"
        for name, value in choice.to_dict().items()
        if name != "name" and value != (dict(defaults[name]) if isinstance(value, dict) else defaults[name])
    ]
    return f"{choice.name}: {', '.join(changed)}" if changed else choice.name


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _combinations(axes: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _axis(name: str, value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise InputError(f"{name} must have at least one value, got an empty list")
    return values


def _axes(name: str, values: Any) -> dict[str, list[Any]]:
    if not isinstance(values, Mapping):
        raise InputError(f"{name} must be a table of fields, got {values!r}")
    return {str(key): _axis(f"{name}.{key}", value) for key, value in values.items()}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise InputError(f"{name} must be a text of at most 200 characters, got {str(value)[:40]!r}")
    return value


def _whole(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise InputError(f"{name} must be a whole number from 0 to {most}, got {value!r}")
    return value


def _refuse_unknown(what: str, values: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in values:
        if key not in known:
            raise InputError(f"{what} has no key {key!r}; its keys are {', '.join(known)}")
