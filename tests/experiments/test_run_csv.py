import dataclasses

import pytest

import sdqviz as sq
from sdqviz.error import InputError
from sdqviz.experiments.run import Run
from sdqviz.experiments.run_csv import read_csv, write_csv


def plain(run):
    """Everything a row can hold."""
    values = run.to_dict()
    if values["report"] is not None:
        values["report"] |= {"layers": [], "left_alone": []}
    return values


def test_runs_survive_a_table_but_for_their_layers(made_run):
    network = sq.NETWORKS["mnist-fnn"]().load()
    method = sq.METHODS["gpfq"](bits=3, fit="max", bits_by_layer={"output": 5})
    report = sq.compress(network, method, 32).report
    real = Run("a" * 64, {"name": "mnist-fnn", "seed": 0}, method.to_dict(), 32, 0, report, seconds=0.1, label='a, "b"')
    runs = [real, made_run(problem="size must be larger, got 3"), made_run(accuracy=None), made_run("ein Verfahren ü")]
    found = read_csv(write_csv(runs))
    assert [plain(one) for one in found] == [plain(one) for one in runs]


def test_a_spreadsheet_may_add_a_mark_at_the_beginning(made_run):
    assert len(read_csv(b"\xef\xbb\xbf" + write_csv([made_run()]))) == 1


def test_other_files_are_refused_in_one_sentence(made_run):
    whole = write_csv([made_run()]).decode()
    head, row = whole.splitlines()
    damaged = [whole + "1,2\n", head + "\n" + row.replace("0.9", "much"), whole.replace("{", "[", 1)]
    damaged += [whole.replace('""name""', '""nme', 1), whole + "x" * 200_000 + "\n"]
    for text in ("", "a,b\n1,2\n", *damaged):
        with pytest.raises(InputError, match="table of runs must be CSV that sdqviz wrote, got"):
            read_csv(text.encode())
    with pytest.raises(InputError, match="must be CSV"):
        read_csv(b"\xff\xfe\x00binary")


def test_every_figure_of_a_report_is_a_column(made_run):
    header = write_csv([made_run()]).decode().splitlines()[0].split(",")
    fields = {field.name for field in dataclasses.fields(made_run().report)} - {"layers", "left_alone"}
    assert fields <= set(header) and len(header) == len(set(header))
