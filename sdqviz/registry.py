"""Named choices, found by importing the files of one folder: adding a thing means adding a file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from sdqviz.choice import Choice
from sdqviz.error import InputError

C = TypeVar("C", bound=Choice)

_CLASS_NAMES: dict[str, str] = {}


class UnknownNameError(InputError, KeyError):
    """A name that no registered choice carries."""

    __str__ = Exception.__str__  # KeyError would print the sentence in quotes


class Registry(Mapping[str, type[C]], Generic[C]):
    """Choice classes by name; the folder's modules are imported on first use.

    Parameters
    ----------
    package : str
        Dotted name of the folder whose modules register themselves.
    noun : str
        What an entry is called in messages, for example ``"frame"``.
    """

    def __init__(self, package: str, noun: str) -> None:
        self._package = package
        self._noun = noun
        self._entries: dict[str, type[C]] = {}
        self._others: list[tuple[str, Callable[[str], type[C] | None]]] = []
        self._discovered = False

    def extend(self, what: str, resolve: Callable[[str], type[C] | None]) -> None:
        """Know further names that are not listed, because listing them would load a heavy library.

        Parameters
        ----------
        what : str
            What such a name is, for the message about an unknown one, for example ``"a name from elsewhere"``.
        resolve : callable
            Returns the choice class of a name, the same one each time, or None for a name it does not know.
        """
        self._others.append((what, resolve))

    def register(self, cls: type[C]) -> type[C]:
        """Class decorator: enter ``cls`` under ``cls.name``.

        Raises
        ------
        ValueError
            If the name, or a class of the same class name, is registered already: caches key a
            choice by its class name and fields, so two classes of one name would share results.
        """
        owner = f"{cls.__module__}.{cls.__qualname__}"
        if cls.name in self._entries and _CLASS_NAMES.get(cls.__name__) != owner:
            raise ValueError(f"{self._noun} name {cls.name!r} is registered twice")
        if _CLASS_NAMES.setdefault(cls.__name__, owner) != owner:
            raise ValueError(f"class name {cls.__name__!r} is registered twice: {_CLASS_NAMES[cls.__name__]}, {owner}")
        self._entries[cls.name] = cls
        return cls

    def forget(self, name: str) -> None:
        """Take a name out again that was registered while the program ran."""
        cls = self._entries.pop(name)
        _CLASS_NAMES.pop(cls.__name__, None)

    def _discover(self) -> None:
        if not self._discovered:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            self._discovered = True

    def __getitem__(self, name: str) -> type[C]:
        """Return the choice class registered under ``name``."""
        self._discover()
        if name in self._entries:
            return self._entries[name]
        for _, resolve in self._others:
            found = resolve(name)
            if found is not None:
                return found
        known = " or ".join([", ".join(sorted(self._entries)), *(what for what, _ in self._others)])
        raise UnknownNameError(f"{self._noun} must be one of {known}, got {name!r}")

    def __iter__(self) -> Iterator[str]:
        """Iterate over the registered names."""
        self._discover()
        return iter(self._entries)

    def __len__(self) -> int:
        """Count the registered names."""
        self._discover()
        return len(self._entries)

    def titles(self) -> dict[str, str]:
        """Return what people call each entry, by name, in alphabetical order."""
        return {name: self[name].title for name in sorted(self)}

    def called(self, name: str) -> str:
        """Return what people call the entry of a name; the name itself where there is none, as in a stranger's file."""
        return self[name].title if name in self else name

    def called_shortly(self, name: str) -> str:
        """Return what a legend calls the entry of a name."""
        return self[name].short or self[name].title if name in self else name

    def __repr__(self) -> str:
        """Show the names."""
        return f"<{self._noun} registry: {', '.join(sorted(self))}>"

    def from_dict(self, values: Mapping[str, object]) -> C:
        """Build the choice that ``choice.to_dict()`` described."""
        rest = dict(values)
        name = rest.pop("name", None)
        if not isinstance(name, str):
            raise InputError(f"a {self._noun} needs a name, got {name!r}")
        return self[name].from_dict(rest)
