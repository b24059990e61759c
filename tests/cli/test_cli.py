"""The command line as a person meets it: exit codes, one sentence for a mistake, tables, a served page."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest

import sdqviz as sq
from sdqviz import asset
from sdqviz.cli import doctor
from sdqviz.cli import main as cli
from sdqviz.cli.meter import remaining
from sdqviz.cli.settings import choice_from
from sdqviz.cli.text import aligned
from sdqviz.compression import export
from sdqviz.error import InputError
from sdqviz.networks import own_weights
from sdqviz.report import Report

LAUNCH = [sys.executable, "-m", "sdqviz.cli.main"]


def call(capsys, *arguments):
    """Run a command in this process; return its exit code, output and errors."""
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    captured = capsys.readouterr()
    return left.value.code or 0, captured.out, captured.err


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# -- what any command does ----------------------------------------------------------------------------


def test_the_version_is_that_of_the_package(capsys):
    assert call(capsys, "--version") == (0, f"sdqviz {sq.__version__}\n", "")


def test_without_a_command_the_commands_are_listed(capsys):
    _, out, err = call(capsys)
    for command in ("app", "doctor", "train", "compress", "reproduce"):
        assert command in out + err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["compress", "--method", "magic"], "method must be one of frame, "),
        (["compress", "--network", "magic"], "network must be one of mnist-fnn, "),
        (["compress", "--set", "size"], "--set must be KEY=VALUE, got 'size'"),
        (["compress", "--set", "colour=3"], "frame has no field 'colour'; its fields are frame, size, "),
        (["compress", "--set", "size=lots"], "size must be a whole number, got 'lots'"),
        (["compress", "--set", "bits=17"], "bits must be at most 16, got 17"),
        (["compress", "--network-seed", "-1"], "seed must be at least 0, got -1"),
        (["compress", "--network", "resnet20", "--network-set", "width=99"], "width must be at most 16, got 99"),
        (["train", "resnet20", "--set", "width=2"], "width must be at least 4, got 2"),
        (["train", "mnist-fnn", "--set", "width=8"], "mnist-fnn has no field 'width'"),
        (["train", "magic"], "network must be one of mnist-fnn, "),
        (["reproduce", "table9"], "what to reproduce must be one of table1, "),
        (["reproduce", "table3", "--sizes", "1000,many"], "sizes must be whole numbers separated by commas"),
        (["reproduce", "table3", "--sizes", "1000.5"], "sizes must be whole numbers separated by commas, got '1000.5'"),
        (["reproduce", "table1", "--steps", ""], "steps must be numbers separated by commas, got ''"),
        (["app", "--address", "203.0.113.7"], "address and port must be free on this computer, got 203.0.113.7:8501"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(capsys, arguments, sentence):
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"sdqviz: {sentence}")
    assert err.count("\n") == 1


def test_a_size_that_makes_no_frame_names_the_layer(capsys):
    code, _, err = call(capsys, "compress", "--set", "size=256")
    assert code == 2
    assert err.splitlines()[-1].startswith(
        "sdqviz: layer hidden1: size must be at least 257 for dimension 256, got 256"
    )


def test_settings_become_a_method():
    method = choice_from(
        sq.METHODS["frame"],
        ["size=1000", "bits=2", "step_rule=norm-layer", "step=0.5", "bits_by_layer.hidden1=3", "bits_by_layer.a.b=1"],
    )
    assert method == sq.METHODS["frame"](
        size=1000, bits=2, step_rule="norm-layer", step=0.5, bits_by_layer={"hidden1": 3, "a.b": 1}
    )
    assert choice_from(sq.METHODS["frame"], ["size=null", "redundancy=4", 'size_by_layer={"output": 50}']) == (
        sq.METHODS["frame"](redundancy=4, size_by_layer={"output": 50})
    )


# -- compress -----------------------------------------------------------------------------------------


def test_compress_prints_the_report_and_writes_the_network(capsys, tmp_path):
    file = tmp_path / "small.sdq"
    code, out, _ = call(capsys, "compress", "--set", "size=300", "--calibration", "64", "-o", str(file))
    assert code == 0
    network = sq.NETWORKS["mnist-fnn"](seed=0).load()
    result = sq.compress(network, sq.METHODS["frame"](size=300), calibration=64)
    assert f"{result.report.accuracy_before:.2%} → {result.report.accuracy_after:.2%}" in out
    assert f"{result.report.bits_per_weight:.3f}" in out
    for layer in result.report.layers:
        assert f"{layer.name} " in out
    assert f"written: {file}, {file.stat().st_size:,} bytes" in out
    inputs, _ = network.dataset.test(100)
    np.testing.assert_array_equal(sq.load(file).outputs(inputs), result.network.outputs(inputs))


def test_compress_as_json_is_the_report(capsys):
    code, out, _ = call(capsys, "compress", "--json", "--set", "size=300", "--calibration", "0", "--network-seed", "1")
    assert code == 0
    report = Report.from_dict(json.loads(out))
    assert report.inputs == 0 and np.isnan(report.output_error)
    assert report.network == "mnist-fnn" and dict(report.method)["size"] == 300
    assert 0.2 < report.accuracy_after < report.accuracy_before


@pytest.mark.parametrize("place", ["missing/x.sdq", "."])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(capsys, tmp_path, place):
    code, _, err = call(capsys, "compress", "--set", "size=300", "-o", str(tmp_path / place))
    assert code == 2
    assert err == (
        f"sdqviz: output must be a file in a folder that exists and can be written, got {tmp_path / place}\n"
    )


# -- files of one's own, and packed ones ----------------------------------------------------------------


def test_show_lists_what_a_packed_file_holds(capsys, tmp_path):
    file = tmp_path / "small.sdq"
    call(capsys, "compress", "--set", "size=300", "--calibration", "0", "-o", str(file))
    code, out, _ = call(capsys, "show", str(file))
    assert code == 0 and "checksum                  ok, SHA-256" in out
    assert f"bytes                     {file.stat().st_size:,}: " in out
    assert "hidden1  256×784  levels  784×300 × 1 bit  29,400  1.172" in out
    network = sq.NETWORKS["mnist-fnn"]().load()
    assert network.fingerprint in out
    code, tested, _ = call(capsys, "show", str(file), "--test")
    assert f"test accuracy             {sq.load(file).accuracy():.2%}" in tested
    _, recipe, _ = call(capsys, "show", str(file), "--json")
    assert json.loads(recipe)["method"]["size"] == 300
    file.write_bytes(file.read_bytes()[:-1])
    code, _, err = call(capsys, "show", str(file))
    assert code == 2 and err.startswith("sdqviz: small.sdq must be a file that sdqviz saved, whole and unchanged: ")


def test_export_writes_what_the_ending_says(capsys, tmp_path):
    file, weights = tmp_path / "small.sdq", tmp_path / "weights.safetensors"
    call(capsys, "compress", "--set", "size=300", "--calibration", "0", "-o", str(file))
    code, out, _ = call(capsys, "export", str(file), "--to", str(weights))
    assert code == 0 and f"written: {weights}, {weights.stat().st_size:,} bytes" in out
    found = own_weights.network(sq.NETWORKS["mnist-fnn"](), weights)
    assert found.fingerprint == sq.load(file).fingerprint
    code, _, err = call(capsys, "export", str(file), "--to", str(tmp_path / "weights.bin"))
    assert code == 2 and err == "sdqviz: to must end in .safetensors or .onnx, got weights.bin\n"


def test_weights_and_states_and_data_of_ones_own(capsys, tmp_path):
    network = sq.NETWORKS["mnist-fnn"](seed=1).load()
    weights, data, packed = tmp_path / "mine.safetensors", tmp_path / "few.npz", tmp_path / "x.sdq"
    weights.write_bytes(export.safetensors(network))
    code, out, _ = call(capsys, "compress", "--weights", str(weights), "--set", "size=300", "-o", str(packed))
    assert code == 0 and "mine.safetensors" in out and "accuracy" not in out.split("\n\n", maxsplit=1)[1]
    code, out, _ = call(capsys, "export", str(packed), "--to", str(tmp_path / "back.safetensors"))
    assert code == 0
    images, labels = network.dataset.test(200)
    np.savez(data, images=images, labels=labels)
    code, out, _ = call(
        capsys, "compress", "--state", str(weights), "--data", str(data), "--set", "size=300", "--calibration", "20",
        "--json",
    )  # fmt: skip
    report = Report.from_dict(json.loads(out))
    tested = np.arange(200) % 5 != 0
    assert report.accuracy_before == (network.predictions(200)[tested] == labels[tested]).mean()
    assert report.inputs == 20 and report.network == "mnist-fnn with mine.safetensors"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--weights", "a.safetensors", "--data", "b.npz"], "weights must be given without state or data"),
        (["--weights", "a.safetensors"], "weights must be a file that can be read, got a.safetensors: No such file"),
        (["--state", "a.pt"], "weights must be a file that can be read, got a.pt: No such file"),
        (["--data", "b.npz"], "data must be a file that can be read, got b.npz: No such file"),
    ],
)
def test_files_of_ones_own_that_cannot_be_used_are_one_sentence(capsys, arguments, sentence):
    code, _, err = call(capsys, "compress", *arguments)
    assert code == 2 and err.startswith(f"sdqviz: {sentence}") and err.count("\n") == 1


# -- doctor -------------------------------------------------------------------------------------------


def test_a_healthy_installation_passes(capsys):
    code, out, err = call(capsys, "doctor")
    assert (code, err) == (0, "")
    rows = dict(line.split(maxsplit=2)[1:] for line in out.splitlines() if "mnist" not in line)
    assert rows["sdqviz"] == sq.__version__ and rows["numpy"] == np.__version__
    assert "threading layer" in rows["kernels"]
    assert all(line.startswith("ok ") for line in out.splitlines())


def test_a_damaged_and_a_missing_asset_are_found(capsys, tmp_path, monkeypatch):
    (tmp_path / "assets").mkdir()
    (tmp_path / "pages").mkdir()
    for name in ("mnist.npz", asset.MANIFEST):
        shutil.copy(asset.folder() / name, tmp_path / "assets" / name)
    with (tmp_path / "assets" / "mnist.npz").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0" * 8)
    monkeypatch.setattr(asset, "ROOT", tmp_path)
    code, out, err = call(capsys, "doctor")
    assert code == 1
    assert "WRONG  assets/mnist.npz" in out
    assert "sdqviz: asset mnist.npz must have SHA-256" in err
    assert "sdqviz: asset networks/mnist-fnn-seed0.safetensors must be in" in err
    assert "sdqviz: pages must work, got FileNotFoundError" in err
    assert "Traceback" not in err


def test_an_unreadable_manifest_is_found(capsys, tmp_path, monkeypatch):
    (tmp_path / "assets").mkdir()
    monkeypatch.setattr(asset, "ROOT", tmp_path)
    code, _, err = call(capsys, "doctor")
    assert code == 1 and "asset manifest.json must be readable" in err


@pytest.mark.parametrize(
    ("requirement", "problem"),
    [
        ("numpy>=2.0", None),
        ("numpy>=99", f"numpy>=99 must be installed, got {np.__version__}: install sdqviz again"),
        ("no-such-package>=1", "no-such-package>=1 must be installed, got nothing: install sdqviz again"),
    ],
)
def test_versions_are_held_against_what_is_required(requirement, problem):
    assert doctor.package(requirement).problem == problem


def test_an_old_python_is_found():
    assert doctor.python((3, 10, 9)).problem == "python must be at least 3.11, got 3.10.9"
    assert doctor.python((3, 14, 0)).problem is None


# -- app ----------------------------------------------------------------------------------------------


def test_the_app_is_served_from_another_folder_and_ctrl_c_ends_it(tmp_path):
    port = free_port()
    server = subprocess.Popen(
        [*LAUNCH, "app", "--port", str(port)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        for _ in range(600):
            assert server.poll() is None, server.communicate()[0]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    page = answer.read().decode()
                break
            except OSError:
                time.sleep(0.1)
        assert answer.status == 200 and "<title>" in page
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
            assert answer.read() == b"ok"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            told = json.load(answer)
        assert told == {"status": "ok", "version": sq.__version__, "visitors": 0, "warm": told["warm"]}
        server.send_signal(signal.SIGINT)
        out, _ = server.communicate(timeout=30)
        assert "Traceback" not in out
        assert server.returncode in {0, cli.STOPPED, -signal.SIGINT}
    finally:
        if server.poll() is None:
            server.kill()
            server.communicate()


def test_a_port_that_is_taken_is_one_sentence(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = call(capsys, "app", "--port", str(port))
    assert code == 2
    assert err.startswith(f"sdqviz: address and port must be free on this computer, got 127.0.0.1:{port}")


# -- progress and Ctrl-C ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("done", "left", "seconds", "text"),
    [
        (0.5, 0.5, 30.0, ", about 30 s left"),
        (0.25, 0.75, 60.0, ", about 3 min 0 s left"),
        (0.001, 0.999, 30.0, ""),
        (0.5, 0.5, 0.2, ""),
    ],
)
def test_the_estimate_follows_the_pace(done, left, seconds, text):
    assert remaining(done, left, seconds) == text


def test_columns_stand_under_one_another():
    assert aligned([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc  d"]


@pytest.mark.slow
def test_training_can_be_interrupted_and_goes_on(tmp_path):
    command = [*LAUNCH, "train", "mnist-fnn", "--seed", "7", "--folder", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    partial = tmp_path / "mnist-fnn-seed7.partial"
    for _ in range(2400):
        if partial.exists():
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == cli.STOPPED and "stopped; what was finished is kept" in err
    assert partial.exists() and not (tmp_path / "mnist-fnn-seed7.safetensors").exists()
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert second.returncode == 0, second.stderr
    assert second.stdout.strip() == str(tmp_path / "mnist-fnn-seed7.safetensors")
    assert "epoch 1 of" not in second.stderr, "the first epoch must not be trained again"
    assert "s left" in second.stderr
    assert os.listdir(tmp_path) == ["mnist-fnn-seed7.safetensors"]  # noqa: PTH208


def test_input_errors_keep_their_type_below_the_command_line():
    with pytest.raises(InputError, match="KEY=VALUE"):
        choice_from(sq.METHODS["frame"], ["=3"])
