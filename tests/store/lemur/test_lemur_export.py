"""Export of the corpus and of our own runs to LEMUR's folders and files, byte by byte."""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from command_line import Nngpt
from lemur_files import FOLDER, bring_in, files, package, rows, stat, tables, take_out, trial, write
from store_samples import TASK, candidate, evaluation, open_new, start
from store_samples import write as write_attempts

from nngpt.errors import UserError
from nngpt.records import Task
from nngpt.store import Store

NOT_EXPORTED = ("__init__.py", "README.md")


def members(wheel: Path, *kinds: str) -> dict[str, bytes]:
    """Return the files of a package that an export contains."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith("ab/nn/")]
        wanted = [name for name in names if name.split("/")[2] in kinds]
        return {
            name: archive.read(name)
            for name in wanted
            if not name.endswith(("/", *NOT_EXPORTED)) and "/metric/base/" not in name
        }


def test_import_export_import_loses_nothing(imported: Store, part: Path, tmp_path: Path) -> None:
    report = take_out(imported, tmp_path / "out")
    assert report.skipped.count == 0 and report.rows > 1000 and report.runs == 3
    before = members(part, "nn", "transform", "metric", "stat")
    after = files(tmp_path / "out")
    assert after.keys() == before.keys()
    changed = [name for name in before if after[name] != before[name]]
    # LEMUR has one network whose files were laid out by another program.
    assert changed and all("_MNASNet/" in name for name in changed)
    key = json.dumps
    for name in changed:
        listed, ours = json.loads(before[name]), json.loads(after[name])
        assert sorted(map(key, listed)) == sorted(map(key, ours))
        accuracies = [one["accuracy"] for one in ours]
        assert accuracies == sorted(accuracies, reverse=True)
    with open_new(tmp_path / "again" / "nngpt.db") as again:
        bring_in(again, tmp_path / "out")
        assert tables(again) == tables(imported)


def test_values_that_lemurs_tables_cannot_hold_are_restored(mirror: Store, tmp_path: Path) -> None:
    root = package(tmp_path / "p")
    measured = {"train_loss": 1.5, "test_loss": float("nan"), "gradient_norm": None}
    trials = [
        trial(accuracy=0.75, lr=1, flag=True, metric_acc=0.75, train_stat=measured, task="t"),
        trial(accuracy=0.5, uid="u2", momentum=-0.0, notes=[1, {"a": None}], duration=1e9),
        trial(accuracy=0.25, lr="0.10", epoch=7),
    ]
    names = {"task": trials[0].pop("task")}  # LEMUR 2.2 appends these to the sorted keys
    ordered = [dict(sorted(one.items())) for one in trials]
    ordered[0] |= names
    sources = {
        1: json.dumps(ordered, indent=4),
        2: "[]",
        3: json.dumps([trial(accuracy=0.1)], indent=4).replace("0.1,", "NaN,"),
    }
    written = {epoch: stat(root, text, epoch).read_bytes() for epoch, text in sources.items()}
    bring_in(mirror, root)
    take_out(mirror, tmp_path / "out")
    for epoch, data in written.items():
        found = tmp_path / "out" / "ab" / "nn" / "stat" / "train" / FOLDER / f"{epoch}.json"
        assert found.read_bytes() == data


def test_results_of_our_runs_can_be_exported(mirror: Store, tmp_path: Path) -> None:
    root = package(tmp_path / "p")
    stat(root, [trial()])
    bring_in(mirror, root)
    task = Task("my_images", TASK.in_shape, TASK.out_shape, 0.1)
    with mirror.lease(start(mirror).id) as lease:
        networks = ((TASK, "class Net: pass\n"), (task, "class Net: other = 1\n"))
        for batch, (used, network) in enumerate(networks):
            [attempt] = write_attempts(lease, batch=batch)
            lease.parsed(attempt, candidate(network))
            lease.validated(attempt)
            lease.training(attempt)
            lease.trained(attempt, evaluation(0.25, 0.5), used)
    report = take_out(mirror, tmp_path / "ours", ours=True)
    assert (report.networks, report.files, report.rows, report.skipped.count) == (2, 4, 4, 0)
    exported = files(tmp_path / "ours")
    names = sorted(name.split("/")[4] for name in exported if "/stat/" in name)
    assert len({*names}) == 2 and all(name.count("_") == 3 for name in names)
    assert names[-1].startswith("img-classification_my-images_acc_nngpt-")
    curve = [json.loads(exported[name]) for name in sorted(exported) if "cifar-10" in name]
    assert [[one["accuracy"] for one in listed] for listed in curve] == [[0.25], [0.5]]
    assert {"lr": 0.01, "momentum": 0.9, "batch": 64, "transform": "norm"}.items() <= curve[0][
        0
    ].items()
    with open_new(tmp_path / "theirs" / "nngpt.db") as theirs:
        bring_in(theirs, root)
        assert bring_in(theirs, tmp_path / "ours").refused.count == 0
        assert tables(theirs)["stat"] == tables(mirror)["stat"], "with LEMUR's ids"
        assert bring_in(mirror, tmp_path / "ours").rows.new == 0, "and it knows its own"


def test_a_partial_export_includes_everything_it_refers_to(
    imported: Store, part: Path, tmp_path: Path
) -> None:
    report = take_out(imported, tmp_path / "one", networks=("ga-mut-1177",))
    assert (report.networks, report.empty > 0) == (1, True)
    whole = members(part, "nn", "stat", "transform", "metric")
    assert files(tmp_path / "one").items() <= whole.items()
    used = {json.loads(text)[0]["transform"] for text in files(tmp_path / "one").values()
            if text.startswith(b"[\n")}  # fmt: skip
    assert {f"ab/nn/transform/{name}.py" for name in used} <= files(tmp_path / "one").keys()
    with pytest.raises(UserError, match="no such network in the mirror"):
        take_out(imported, tmp_path / "none", networks=("ga-mut-1178",))
    with pytest.raises(UserError, match="no statistics of this data set"):
        take_out(imported, tmp_path / "none", dataset="mnits")
    assert not (tmp_path / "none").exists()


def test_invalid_file_names_are_skipped_and_reported(mirror: Store, tmp_path: Path) -> None:
    root = package(tmp_path / "p")
    stat(root, [trial()])
    bring_in(mirror, root)
    with mirror.database.write() as session:
        connection = session.connection()
        for name in ("../up", "n" * 300, "with_line"):
            connection.exec_driver_sql("INSERT INTO nn VALUES (?, 'x', ?)", (name, name))
        connection.exec_driver_sql("UPDATE stat SET nn = 'with_line'")
    report = take_out(mirror, tmp_path / "out")
    assert {case.reason.split(",")[0] for case in report.skipped.first} == {
        "the name is not a valid file name",
        "the name is too long for a file name",
        "a name contains _",
    }
    assert not list((tmp_path / "out" / "ab").rglob("*up*")) and report.rows == 0


def test_the_command_line_imports_and_exports(nngpt: Nngpt, part: Path, tmp_path: Path) -> None:
    done = nngpt("lemur", "import", part, "--folder", "runs")
    assert done.returncode == 0, done.stderr
    table = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()]
    assert ["networks", "6", "6"] in table and ["refused", "0"] in table
    done = nngpt("lemur", "export", "out")
    assert done.returncode == 0 and done.stdout.startswith("out: 6 networks, 202 transforms, ")
    assert nngpt("lemur", "export", "out").stderr == (
        "nngpt: out: is not empty. Give a new or empty folder\n"
    )
    (tmp_path / "notes.txt").write_text("not a package")
    for path, said in (("notes.txt", "neither an archive"), ("gone", "No such file"),
                       ("runs/nngpt.db", "one of nngpt's own databases")):  # fmt: skip
        done = nngpt("lemur", "import", path, "--folder", "runs")
        assert done.returncode != 0 and said in done.stderr and done.stderr.count("\n") == 1
    assert nngpt("lemur", "import", "out", "--folder", "again", "--json").returncode == 0


def test_a_full_disk_leaves_no_half_export(mirror: Store, tmp_path: Path) -> None:
    """A limit on file sizes stands for a full disk; only the error's name differs."""
    root = package(tmp_path / "p", "Little", "Net")
    write(root, "nn/Net.py", "class Net: pass\n" * 20_000)
    bring_in(mirror, root)

    def little() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    command = [sys.executable, "-m", "nngpt", "lemur", "export", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--folder", str(mirror.path.parent)],
        preexec_fn=little,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"nngpt: {tmp_path / 'out'}: cannot be written (File too large)")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


def test_the_code_of_a_package_is_utf8_with_its_line_ends(mirror: Store, tmp_path: Path) -> None:
    root = package(tmp_path / "p")
    file = write(root, "nn/Odd.py", "# größer\r\nclass Net: pass\n\x0c\ufeff\n")
    bring_in(mirror, root)
    assert rows(mirror, "SELECT length(code) FROM nn WHERE name = 'Odd'") != [(0,)]
    take_out(mirror, tmp_path / "out")
    assert (tmp_path / "out" / "ab" / "nn" / "nn" / "Odd.py").read_bytes() == file.read_bytes()
