"""Light imports, looked at from a fresh interpreter: what is loaded."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "scipy.stats", "networkx", "dask")


def fresh(code: str) -> dict[str, object]:
    """Run ``code`` in a new interpreter; return the JSON it prints last, with the heavy modules it loaded."""
    program = textwrap.dedent(code) + textwrap.dedent(f"""
        import json, sys
        seen = [name for name in {HEAVY} if name in sys.modules]
        print(json.dumps({{"heavy": seen, "value": globals().get("value")}}))
    """)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_the_package_itself_loads_nothing_heavy():
    result = fresh("import sdqviz, sys; value = [name for name in ('numpy', 'numba') if name in sys.modules]")
    assert result == {"heavy": [], "value": []}


def test_help_on_the_command_line_loads_nothing_heavy():
    result = fresh("""
        import contextlib, io, sys
        from sdqviz.cli.main import app
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as told:
            app(["--help"], prog_name="sdqviz")
        heavy = ("numpy", "numba", "scipy", "pandas", "plotly", "streamlit", "joblib", "sqlite3", "rich")
        value = [name for name in heavy if name in sys.modules] + [len(told.getvalue()) > 500]
    """)
    assert result == {"heavy": [], "value": [True]}


@pytest.mark.parametrize("registry", ["FRAMES", "PERMUTATIONS", "METHODS", "NETWORKS"])
def test_listing_a_registry_loads_nothing_heavy(registry):
    result = fresh(f"import sdqviz as sq; value = sorted(sq.{registry})")
    assert result["heavy"] == []
    assert len(result["value"]) >= 1


def test_building_a_frame_and_walking_it_loads_no_torch():
    result = fresh("""
        import sdqviz as sq
        frame = sq.FRAMES["harmonic"](dimension=8, size=24).build()
        order = sq.PERMUTATIONS["identity"]().order(frame)
        trace = sq.SigmaDelta(bits=1, step=2.0).run(frame.analyze([0.1] * 8)[order])
        value = trace.stable
    """)
    assert "torch" not in result["heavy"] and result["value"] is True


def test_the_start_page_loads_nothing_heavy():
    result = fresh("""
        from streamlit.testing.v1 import AppTest
        from sdqviz.ui import launch
        at = AppTest.from_file(str(launch.MAIN), default_timeout=60).run()
        value = [len(at.exception), len(at.markdown) + len(at.title) + len(at.header) + len(at.get("bidi_component"))]
    """)
    exceptions, elements = result["value"]
    assert exceptions == 0 and elements >= 3, "the page must have been drawn, or this test says nothing"
    assert result["heavy"] == []


def test_what_the_network_page_imports_loads_no_torch():
    assert fresh("import sdqviz.ui.network, sdqviz.ui.network_form, sdqviz.ui.question_line")["heavy"] == []
