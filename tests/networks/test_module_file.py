"""A network of one's own from a file: what it may return, what is refused, and that a name alone runs nothing."""

import json
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

import sdqviz as sq
from sdqviz.error import InputError
from sdqviz.networks.module_file import from_file

HEAD = """
import torch, numpy as np, sdqviz as sq
from torch import nn
def layers(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
def data():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(40, 6)).astype("float32"), draw.integers(0, 3, 40)
    return sq.Dataset("mine", x[:20], y[:20], x[20:], y[20:])
"""


@pytest.fixture
def made(tmp_path):
    """Write a file with the head and a body; its networks leave the catalogue with the test."""
    before, count = set(sq.NETWORKS), []

    def make(body, name="mine.py"):
        file = tmp_path / f"{len(count)}" / name
        file.parent.mkdir()
        file.write_text(HEAD + textwrap.dedent(body))
        count.append(file)
        return file

    yield make
    for name in set(sq.NETWORKS) - before:
        sq.NETWORKS.forget(name)


RETURNED = {
    "a module": "return layers()",
    "a network": "return sq.Network(layers(), torch.zeros(2, 6))",
    "a network with data": "return sq.Network(layers(), torch.zeros(2, 6), data())",
    "module and example": "return layers(), torch.zeros(2, 6)",
    "all three": "return layers(), torch.zeros(2, 6), data()",
}


@pytest.mark.parametrize("returned", RETURNED)
def test_everything_it_may_return_is_compressed(made, returned):
    file = made(f"def make():\n    {RETURNED[returned]}")
    kind = from_file(f"{file}:make")
    assert kind is sq.NETWORKS["mine.py:make"] and "mine.py:make" in sorted(sq.NETWORKS)
    assert from_file(f"{file}:make") is kind, "a second time it is not run again"
    network = kind(seed=0).load()
    assert network.name == "mine.py:make" and [layer.name for layer in network.layers] == ["0", "2"]
    with_data = "data" in RETURNED[returned]
    assert kind.with_data == with_data and (network.dataset is not None) == with_data and kind().ready
    report = sq.compress(network, sq.METHODS["round-to-nearest"](bits=3), 8 if with_data else None).report
    assert 0 < report.relative_output_error < 1 and (report.accuracy_after is None) != with_data


def test_a_seed_is_given_to_a_function_that_takes_one_and_the_network_is_made_once(made):
    file = made("""
        calls = []
        def make(seed):
            calls.append(seed)
            return layers(seed), torch.zeros(2, 6)
        def other():
            return torch.nn.Linear(3, 3), torch.zeros(1, 3)
    """)
    kind = from_file(f"{file}:make")
    first, second = kind(seed=0).load(), kind(seed=1).load()
    assert first.fingerprint != second.fingerprint
    assert kind(seed=0).load() is first and kind.function.__globals__["calls"] == [0, 1]
    assert from_file(f"{file}:other")().load().layers[0].name == "layer"
    assert sq.NETWORKS.from_dict(kind(seed=1).to_dict()) == kind(seed=1)


@pytest.mark.slow
def test_another_process_makes_it_anew(made):
    file = made("def make():\n    return layers(), torch.zeros(2, 6)")
    choice = from_file(f"{file}:make")(seed=0)
    assert pickle.loads(pickle.dumps(choice)) == choice
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).load().fingerprint)"
    run = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(choice), capture_output=True, check=True)
    assert run.stdout.decode().strip() == choice.load().fingerprint


@pytest.mark.parametrize(
    ("body", "function", "sentence"),
    [
        ("", "make", "network file mine.py must have a function make, got none"),
        ("make = 3", "make", "network file mine.py must have a function make, got none"),
        ("1 / 0", "make", r"file mine.py must run, got ZeroDivisionError: division by zero \(line 11 of mine.py\)"),
        ("def (", "make", r"network file mine.py must run, got SyntaxError: .* \(line 11 of mine.py\)"),
        ("raise SystemExit(3)", "make", "network file mine.py must run, got SystemExit: 3"),
        ("import nothing_of_that_name", "make", "network file mine.py must run, got ModuleNotFoundError: No module"),
        ("def make():\n    raise ValueError('no weights\\nhere')", "make",
         r"network mine.py:make must be made, got ValueError: no weights \(line 12 of mine.py\)"),
        ("def make(width):\n    pass", "make", "network mine.py:make must be made, got TypeError: make"),
        ("def make():\n    return 3", "make", "mine.py:make must return a torch.nn.Module, .* got int"),
        ("def make():\n    return layers(), torch.zeros(2, 6), 5", "make", r"return .* got Sequential, Tensor, int"),
        ("def make():\n    return layers(), torch.zeros(2, 9)", "make", "example_input must be accepted by the module"),
        ("def make():\n    return nn.ReLU(), torch.zeros(2)", "make", "network mine.py:make: "),
        ("def make():\n    return nn.Conv2d(1, 2, 3)", "make", r"must return \(module, example_input\) where"),
        ("def make():\n    m = layers(); m[0].weight.data[0] = float('nan'); return m", "make", "mine.py:make: "),
    ],
)  # fmt: skip
def test_what_is_no_network_is_one_sentence(made, body, function, sentence):
    file = made(body)
    with pytest.raises(InputError, match=sentence) as caught:
        from_file(f"{file}:{function}")
    assert "\n" not in str(caught.value) and "mine.py:make" not in sq.NETWORKS


@pytest.mark.parametrize("place", ["mine.py", "mine:make", "mine.py:", "mine.py:a b", ":make", "mine.txt:make"])
def test_a_place_that_names_no_function_is_refused(place):
    with pytest.raises(InputError, match=r"network must be a file and a function, like my_file.py:make"):
        from_file(place)


def test_no_file_and_two_files_of_one_name_are_refused(made, tmp_path):
    with pytest.raises(InputError, match="network must be in a file that exists, got"):
        from_file(f"{tmp_path / 'none.py'}:make")
    body = "def make():\n    return layers()"
    one, two = made(body), made(body)
    from_file(f"{one}:make")
    with pytest.raises(InputError, match=r"network mine\.py:make must be given once, got it from"):
        from_file(f"{two}:make")


def test_a_name_alone_runs_nothing(made):
    """What a link, a plan or a packed file can say: a name is looked up, and no code is looked for."""
    file = made("(__import__('pathlib').Path(__file__).parent / 'ran').touch()\ndef make():\n    return layers()")
    for name in ("mine.py:make", f"{file}:make", str(file)):
        with pytest.raises(InputError, match="network must be one of"):
            sq.NETWORKS[name]
        with pytest.raises(InputError, match="network must be one of"):
            sq.NETWORKS.from_dict({"name": name})
    assert not (file.parent / "ran").exists()
    from_file(f"{file}:make")
    assert (file.parent / "ran").exists()


def test_modules_of_timm_and_transformers_say_what_they_take(made):
    pytest.importorskip("timm")
    pytest.importorskip("transformers")
    file = made("""
        def picture():
            import timm
            return timm.create_model("test_vit", pretrained=False)
        def text():
            from transformers import BertConfig, BertForSequenceClassification
            return BertForSequenceClassification(BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1,
                num_attention_heads=2, intermediate_size=32))
        def patches():
            from transformers import ViTConfig, ViTForImageClassification
            return ViTForImageClassification(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                intermediate_size=32, image_size=32, patch_size=16))
    """)
    for function in ("picture", "text", "patches"):
        network = from_file(f"{file}:{function}")().load()
        report = sq.compress(network, sq.METHODS["round-to-nearest"](bits=4), None).report
        assert len(report.layers) > 3 and 0 < report.relative_output_error < 2


@pytest.mark.slow
def test_the_command_line_takes_it(made):
    file = made("def make():\n    return layers(), torch.zeros(2, 6) + 1, data()")
    command = [sys.executable, "-m", "sdqviz.cli.main"]
    options = [
        "compress",
        "--network",
        f"{file}:make",
        "--method",
        "gpfq",
        "--set",
        "bits=3",
        "--calibration",
        "8",
        "--json",
    ]
    run = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["network"] == "mine.py:make" and len(told["layers"]) == 2 and told["accuracy_after"] is not None
    file.write_text("boom")
    run = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert run.returncode == 2 and run.stderr.startswith("sdqviz: network file mine.py must run, got NameError")
    assert run.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_sweep_makes_it_in_its_workers(made, tmp_path):
    file = made("def make(seed):\n    return layers(seed), torch.zeros(2, 6) + 1, data()")
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'network = ["mnist-fnn", "mnist-lenet"]\ncalibration = 8\n[[runs]]\nmethod = "round-to-nearest"\n'
        "choices = { bits = [2, 3] }\n"
    )
    command = [sys.executable, "-m", "sdqviz.cli.main", "sweep", str(plan), "--network", f"{file}:make"]
    options = ["--store", str(tmp_path / "runs.sqlite"), "--json", str(tmp_path / "runs.json")]
    run = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert run.returncode == 0 and "2 runs: 2 done now" in run.stdout and "0 failed" in run.stdout, (
        run.stdout + run.stderr
    )
    rows = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert [row["network"] for row in rows] == [{"name": "mine.py:make", "seed": 0}] * 2
    network = from_file(f"{file}:make")().load()
    direct = sq.compress(network, sq.METHODS["round-to-nearest"](bits=2), 8).report
    np.testing.assert_allclose(rows[0]["report"]["relative_output_error"], direct.relative_output_error, rtol=1e-6)
    assert torch.is_grad_enabled()
