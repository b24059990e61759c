"""What is shipped: a wheel that carries pages and data, works from any folder, and agrees with its metadata."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import sdqviz as sq
from sdqviz import asset

ROOT = Path(__file__).parents[1]


def test_an_editable_installation_reads_the_repository():
    assert asset.ROOT == ROOT
    assert (asset.ROOT / "pages").is_dir() and asset.folder() == ROOT / "assets"


def test_the_citation_and_the_metadata_agree_with_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {sq.__version__}\n" in citation
    assert f"\nlicense: {project['license']}\n" in citation
    assert project["scripts"] == {"sdqviz": "sdqviz.cli.main:main"}
    assert set(project["optional-dependencies"]) == {"test", "bench", "cluster", "onnx"}
    for file in project["license-files"]:
        assert (ROOT / file).is_file()


def test_every_data_file_is_in_the_manifest():
    files = {
        file.relative_to(asset.folder()).as_posix()
        for file in asset.folder().rglob("*")
        if file.suffix in asset.HASHED_KINDS
    }
    assert files == set(asset.manifest())
    assert {name: problem for name, problem in asset.verify().items() if problem} == {}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the working tree, built without looking anything up."""
    folder = tmp_path_factory.mktemp("wheel")
    source = f"import hatchling.build as b; print(b.build_wheel({str(folder)!r}))"
    run = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=False)
    if "No module named 'hatchling'" in run.stderr:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (file,) = folder.glob("*.whl")
    return file


@pytest.mark.slow
def test_the_wheel_holds_everything_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("pages", "assets"):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"sdqviz/_app/{file.relative_to(ROOT).as_posix()}" in names
    assert "sdqviz/_app/app.py" in names
    for file in (ROOT / "sdqviz").rglob("*.py"):
        assert file.relative_to(ROOT).as_posix() in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"sdqviz", f"sdqviz-{sq.__version__}.dist-info"}, "no top-level app or pages modules"
    assert not [name for name in names if name.endswith((".pyc", ".nbi", ".nbc")) or "__pycache__" in name]
    licences = [name for name in names if ".dist-info/licenses/" in name]
    assert {Path(name).name for name in licences} == {"LICENSE", "README.md"}, "the note on MNIST travels along"


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The bin folder of a fresh environment with the wheel; the dependencies are those of this interpreter."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    inside = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    # appended after the environment's own packages; .pth files there (an editable install) are not followed
    (Path(inside.stdout.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.mark.slow
def test_the_installed_command_works_from_another_folder(installed, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def call(*command):
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    where = call(installed / "python", "-c", "import sdqviz; print(sdqviz.__file__)").stdout
    assert str(installed.parent) in where, "the installed package must be looked at, not the repository"
    version = call(installed / "sdqviz", "--version")
    assert (version.returncode, version.stdout) == (0, f"sdqviz {sq.__version__}\n")
    doctor = call(installed / "sdqviz", "doctor")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "_app/pages" in doctor.stdout
    compressed = call(installed / "sdqviz", "compress", "--set", "size=300", "--calibration", "0", "-o", "net.sdq")
    assert compressed.returncode == 0, compressed.stderr
    assert (tmp_path / "net.sdq").stat().st_size > 10_000


@pytest.mark.slow
def test_every_page_runs_from_the_installed_package(installed, tmp_path):
    program = """
import json
from streamlit.testing.v1 import AppTest
from sdqviz import asset
from sdqviz.ui import launch, main
assert "_app" in str(asset.ROOT), asset.ROOT
wrong = {}
for file, title, address in main.PAGES:
    at = AppTest.from_file(str(launch.MAIN), default_timeout=120).run()
    if address:
        at = at.switch_page(str(asset.ROOT / "pages" / file)).run()
    if at.exception or not (asset.ROOT / "pages" / file).is_file():
        wrong[file] = [e.value for e in at.exception]
print(json.dumps(wrong))
"""
    run = subprocess.run(
        [installed / "python", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "{}"
