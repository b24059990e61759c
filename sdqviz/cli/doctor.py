"""Examines an installation: versions, compiled kernels and threads, shipped files, the cache folder."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator

import typer

from sdqviz import asset
from sdqviz.error import InputError
from sdqviz.version import __version__

OLDEST_PYTHON = (3, 11)

PAGES_LEAST = 1
"""Pages that must be there for the app to be worth starting."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    topic, value : str
        What was looked at, and what was found.
    problem : str or None
        What is wrong with it and what to do, or None.
    """

    topic: str
    value: str
    problem: str | None = None


def examine() -> Iterator[Finding]:
    """Yield the findings one after the other; each part is really loaded and tried, which takes seconds."""
    yield Finding("sdqviz", __version__)
    yield python(sys.version_info[:3])
    yield Finding("system", f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors")
    for requirement in importlib.metadata.requires("sdqviz") or ():
        if "extra ==" not in requirement:
            yield package(requirement)
    for topic, look in (("kernels", _kernels), ("torch", _torch), ("cache folder", _cache), ("pages", _pages)):
        yield _tried(topic, look)
    yield from _assets()


def python(version: tuple[int, ...]) -> Finding:
    """Judge a version of Python."""
    text = ".".join(map(str, version))
    if version[:2] >= OLDEST_PYTHON:
        return Finding("python", text)
    need = ".".join(map(str, OLDEST_PYTHON))
    return Finding("python", text, f"python must be at least {need}, got {text}")


def package(requirement: str) -> Finding:
    """Judge one requirement such as ``numpy>=2.0`` against what is installed."""
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    try:
        version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(wanted.name, "missing", f"{wanted} must be installed, got nothing: install sdqviz again")
    if wanted.specifier.contains(version, prereleases=True):
        return Finding(wanted.name, version)
    return Finding(wanted.name, version, f"{wanted} must be installed, got {version}: install sdqviz again")


def _tried(topic: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(topic, look())
    except Exception as error:  # whatever a broken library raises is the finding
        return Finding(topic, "broken", f"{topic} must work, got {type(error).__name__}: {error}")


def _kernels() -> str:
    import numpy as np

    from sdqviz.kernels.threads import threading_layer, threads
    from sdqviz.sigma_delta.recursion import SigmaDelta

    layer = threading_layer()
    found = SigmaDelta(bits=1, step=1.0).run([0.2, 0.2, -0.4]).quantized
    if not np.array_equal(found, [0.5, -0.5, 0.5]):
        raise ArithmeticError(f"ΣΔ of 0.2, 0.2, −0.4 must be 0.5, −0.5, 0.5, got {found}")
    return f"compiled, {threads()} threads, threading layer {layer}"


def _torch() -> str:
    import torch

    product = torch.eye(3) @ torch.arange(3.0)
    if product.tolist() != [0.0, 1.0, 2.0]:
        raise ArithmeticError(f"torch multiplies wrongly: {product.tolist()}")
    importlib.import_module("torchvision")  # fails where its version does not match torch's
    return f"works with torchvision, {torch.get_num_threads()} threads"


def _cache() -> str:
    from sdqviz.networks.training import cache_folder

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return str(folder)


def _pages() -> str:
    names = sorted(file.stem for file in (asset.ROOT / "pages").glob("*.py"))
    if len(names) < PAGES_LEAST:
        raise FileNotFoundError(f"no pages in {asset.ROOT / 'pages'}")
    return f"{', '.join(names)} in {asset.ROOT / 'pages'}"


def _assets() -> Iterator[Finding]:
    try:
        verified = asset.verify()
    except InputError as error:
        yield Finding("assets", "unreadable", str(error))
        return
    wrong = {name: problem for name, problem in verified.items() if problem is not None}
    for name, problem in wrong.items():
        yield Finding(f"assets/{name}", "damaged", problem)
    yield Finding("assets", f"{len(verified) - len(wrong)} of {len(verified)} files have the right SHA-256")


def diagnose() -> None:
    """Show versions, threads and whether every shipped file is whole; exit with 1 if something is wrong."""
    problems = []
    for finding in examine():
        mark = "ok" if finding.problem is None else "WRONG"
        typer.echo(f"{mark:5}  {finding.topic:14} {finding.value}")
        if finding.problem is not None:
            problems.append(finding.problem)
    for problem in problems:
        typer.echo(f"sdqviz: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
