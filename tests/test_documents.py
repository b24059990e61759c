"""What is written about the code is true of it: paths in the documents, imports in shown and quoted code."""

import ast
import importlib
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "assets" / "README.md",
    *sorted((ROOT / "assets" / "texts" / "results").glob("*.md")),
    *sorted((ROOT / "assets" / "texts" / "guide").glob("*.md")),
    *sorted((ROOT / "assets" / "texts" / "learn").glob("*.md")),
]
LONGEST_README = 200
IMPORT = re.compile(r"from (sdqviz(?:\.\w+)*) import (\w+(?:, \w+)*)|import (sdqviz(?:\.\w+)*)")


def named(text: str) -> set[str]:
    """Return every path a text names: in a link, or alone between backticks with a folder or an ending."""
    quoted = re.findall(r"`((?:[\w.*-]+/)*[\w.*-]+\.(?:py|md|toml|json|npz|cff|gz)|(?:[\w.*-]+/)+[\w.*-]*)`", text)
    return {*quoted, *re.findall(r"\]\(([\w./-]+[./]\w*)\)", text)}


def missing(text: str) -> list[str]:
    """Return the paths a text names that are not there: seen from the top, from ``sdqviz/`` or from ``assets/``.

    A file called x stands for a new one: its folder must be there.
    """
    found = []
    for path in sorted(named(text)):
        known = path.rsplit("/", 1)[0] if re.search(r"(^|/)x\.py$", path) else path
        if not any(any(base.glob(known.strip("/"))) for base in (ROOT, ROOT / "sdqviz", ROOT / "assets")):
            found.append(path)
    return found


def wrong_imports(text: str) -> list[str]:
    """Return the imports of this package in a piece of code, or in prose with code, that would fail."""
    found = []
    for place, names, whole in IMPORT.findall(text):
        try:
            module = importlib.import_module(place or whole)
        except ModuleNotFoundError:
            found.append(place or whole)
            continue
        for name in filter(None, names.split(", ")):
            try:
                hasattr(module, name) or importlib.import_module(f"{place}.{name}")
            except ModuleNotFoundError:
                found.append(f"{place}.{name}")
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_named_file_exists(document):
    text = document.read_text("utf-8")
    assert missing(text) == []
    assert wrong_imports(text) == []


def test_a_missing_file_is_seen():
    assert missing("a frame is `frames/harmonic.py`, a new one `frames/x.py`, in `frames/`; see [it](README.md)") == []
    text = "`frames/gone.py`, `nowhere/x.py`, `lost/`, [it](GONE.md) and `sdqviz compress --help`"
    assert missing(text) == ["GONE.md", "frames/gone.py", "lost/", "nowhere/x.py"]


def test_the_readme_is_short_and_speaks_of_every_page():
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.count("\n") <= LONGEST_README
    from sdqviz.ui.main import PAGES

    assert [title for _, title, _ in PAGES if f"| **{title}** |" not in text] == []


def test_the_ten_lines_run(capsys):
    text = (ROOT / "README.md").read_text("utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(code) == 2
    small = code[0].replace("size=1000", "redundancy=1.1").replace('result.save("small.sdq")', "result.to_bytes()")
    exec(small, {})
    assert re.search(r"^output .* <= .* True$", capsys.readouterr().out, re.MULTILINE)
    exec(code[1], {"sq": importlib.import_module("sdqviz")})
    assert "True" in capsys.readouterr().out


def test_code_in_texts_imports_what_is_there():
    """Code that a page shows, a test runs in a process of its own, or a docstring holds."""
    files = [*(ROOT / "sdqviz").rglob("*.py"), *(ROOT / "pages").glob("*.py"), *(ROOT / "tests").rglob("*.py")]
    found = {}
    for path in files:
        if path.name in {"test_documents.py", "test_architecture.py"}:
            continue  # they hold wrong ones on purpose
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        wrong = list(itertools.chain.from_iterable(map(wrong_imports, texts)))
        if wrong:
            found[path.relative_to(ROOT).as_posix()] = wrong
    assert found == {}


def test_an_import_that_would_fail_is_seen():
    assert wrong_imports("from sdqviz.frames import FRAMES\nimport sdqviz as sq\nfrom sdqviz import asset") == []
    assert wrong_imports("from sdqviz.gone import x") == ["sdqviz.gone"]
    assert wrong_imports("from sdqviz import asset, gone") == ["sdqviz.gone"]
