import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sdqviz.plots import theme
from sdqviz.ui import launch, screen

ROOT = Path(__file__).parents[2]


def flat(table, prefix=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_every_way_of_starting_uses_the_same_settings():
    file = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))
    assert dict(flat(file)) == launch.CONFIG


def test_private_by_default():
    assert launch.CONFIG["server.address"] == "127.0.0.1"
    assert launch.CONFIG["browser.gatherUsageStats"] is False
    assert launch.CONFIG["client.toolbarMode"] == "minimal"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_stands_on_a_filled_button_can_be_read(scheme):
    ink = theme.Ink(dark=scheme == "dark")
    assert f"{ink.page} !important" in screen.captions(ink)
    assert theme.contrast(ink.page, launch.CONFIG[f"theme.{scheme}.primaryColor"]) >= theme.CONTRAST


def test_streamlit_recognises_the_launcher():
    from streamlit.web.server.app_discovery import discover_asgi_app

    assert discover_asgi_app(ROOT / "app.py").is_asgi_app
    assert launch.MAIN.is_file()
    made = "import runpy; print(type(runpy.run_path('app.py')['app']).__name__)"
    told = subprocess.run([sys.executable, "-c", made], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.split() == ["App"]


READ = """
import ast, pathlib, sys
from sdqviz.ui import launch
launch.read_pages()
known = set(sys.modules)
for page in pathlib.Path("pages").glob("*.py"):
    for one in ast.parse(page.read_text("utf-8")).body:
        if isinstance(one, (ast.Import, ast.ImportFrom)):
            exec(ast.unparse(one), {})
print(sorted(name for name in set(sys.modules) - known if name.startswith("sdqviz")))
print(sorted({"torch", "pandas"} & set(sys.modules)))
"""


def test_what_pages_are_made_of_is_read_ahead_without_torch():
    """Nothing of ours is left to read, and nothing that takes a second is among it."""
    told = subprocess.run([sys.executable, "-c", READ], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.split("\n") == ["[]", "[]", ""]
