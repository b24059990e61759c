"""Finds the files that ship with sdqviz, and refuses a missing or damaged one in one sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sdqviz.error import InputError
from sdqviz.strict_json import read_json, write_json


def _find_root() -> Path:
    packaged = Path(__file__).resolve().parent / "_app"
    return packaged if packaged.is_dir() else packaged.parents[1]


ROOT = _find_root()
"""Folder of ``app.py``, ``pages/`` and ``assets/``: inside the installed package, or the repository."""

MANIFEST = "manifest.json"
"""Name, in the assets folder, of the table of SHA-256 sums."""

HASHED_KINDS = (".npz", ".safetensors", ".gz", ".sdq")
"""Endings of the files every one of which must be listed in the manifest."""

_verified: set[tuple[Path, int, int]] = set()


def folder() -> Path:
    """Return the assets folder."""
    return ROOT / "assets"


def path(name: str) -> Path:
    """Return the path of a shipped file after checking it.

    Parameters
    ----------
    name : str
        Path below the assets folder, with forward slashes, for example ``"mnist.npz"``.

    Raises
    ------
    InputError
        If the file is missing, or its SHA-256 is not the one in the manifest. Files the manifest
        does not list (texts, images) are only required to exist.
    """
    problem = _problem(name, manifest())
    if problem is not None:
        raise InputError(problem)
    return folder() / name


def manifest() -> dict[str, str]:
    """Return the SHA-256 of each listed file by its name.

    Raises
    ------
    InputError
        If the manifest itself is missing or cannot be read.
    """
    file = folder() / MANIFEST
    try:
        table = read_json(file.read_bytes(), f"asset {MANIFEST} must be a table of hashes")
    except OSError as error:
        raise InputError(
            f"asset {MANIFEST} must be readable in {folder()}, got {error}: install sdqviz again"
        ) from None
    except InputError as error:
        raise InputError(f"{error}: install sdqviz again") from None
    return {str(name): str(digest) for name, digest in table.items()}


def verify() -> dict[str, str | None]:
    """Check every listed file; return, by name, None or the sentence that says what is wrong."""
    table = manifest()
    return {name: _problem(name, table) for name in sorted(table)}


def write_manifest() -> Path:
    """Hash every data file below the assets folder anew and write the manifest; return its path."""
    files = sorted(file for file in folder().rglob("*") if file.suffix in HASHED_KINDS)
    table = {file.relative_to(folder()).as_posix(): sha256(file) for file in files}
    target = folder() / MANIFEST
    target.write_text(write_json(table, indent=2) + "\n", encoding="utf-8")
    return target


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _problem(name: str, table: dict[str, str]) -> str | None:
    file = folder() / name
    if not file.is_file():
        return f"asset {name} must be in {folder()}, got no such file: install sdqviz again"
    if name not in table:
        return None
    status = file.stat()
    state = (file, status.st_mtime_ns, status.st_size)
    if state in _verified:  # a file is read twice only if it has changed since
        return None
    digest = sha256(file)
    if digest != table[name]:
        return f"asset {name} must have SHA-256 {table[name][:12]}…, got {digest[:12]}…: install sdqviz again"
    _verified.add(state)
    return None
