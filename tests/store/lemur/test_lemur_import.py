"""Import: destination of each value, refusals, and harmless kills and repetitions."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lemur_files import FOLDER, TRIAL, bring_in, package, rows, stat, tables, trial, write

from nngpt.errors import StoreError
from nngpt.store import Store

MEASURED = {
    "train_loss": 1.5,
    "test_loss": float("nan"),
    "train_accuracy": 0.4,
    "gradient_norm": None,
    "best_accuracy": 0.5,
    "best_epoch": 1,
    "epoch_max": 5,
    "cpu_count": 8,
    "cpu_type": "x86",
}
NAMES = {"task": "img-classification", "dataset": "cifar-10", "metric": "acc", "model": "Net"}
NEW_TRIAL = {
    **TRIAL,
    "duration_seconds": 1.5,
    "metric_acc": 0.5,
    "train_stat": MEASURED,
    **NAMES,
    "layer_stat": {"layers": [{"name": "fc", "type": "Linear"}], "summary": {"id_map": [1, [2]]}},
}


def test_both_generations_get_lemurs_keys(mirror: Store, tmp_path: Path) -> None:
    """The expected keys were computed by LEMUR 2.1.2."""
    stat(package(tmp_path / "p"), [trial(), {**NEW_TRIAL, "uid": "u2", "accuracy": 0.25}])
    report = bring_in(mirror, tmp_path / "p")
    assert (report.files, report.rows.new, report.settings.new, report.refused.count) == (
        1,
        2,
        2,
        0,
    )
    columns = "id, accuracy, epoch, duration, task, dataset, nn, transform, metric, prm"
    fixed = ("img-classification", "cifar-10", "Net", "norm", "acc")
    assert rows(mirror, f"SELECT {columns} FROM stat ORDER BY accuracy DESC") == [
        ("b2769e950092d831e4fbee45d96d04a8", 0.5, 1, 1_500_000_000, *fixed, "u1"),
        ("5c820d19624b0ec9d53192d688376a89", 0.25, 1, 1_500_000_000, *fixed, "u2"),
    ]
    settings = [("batch", 64), ("lr", 0.01), ("momentum", 1.0), ("transform", "norm")]
    for uid in ("u1", "u2"):
        found = rows(mirror, f"SELECT name, value FROM prm WHERE uid = '{uid}' ORDER BY name")
        assert found == settings and [type(v) for _, v in found] == [int, float, float, str]
    measured = "train_loss, test_loss, gradient_norm, epoch_max, cpu_count, cpu_type, gpu_type"
    assert rows(mirror, f"SELECT {measured} FROM train_stat") == [
        (1.5, None, None, 5, 8, "x86", None)
    ]


def test_measurements_are_never_hyperparameters(mirror: Store, tmp_path: Path) -> None:
    flat = {**MEASURED, "metric_bleu": 0.1, "duration_seconds": 2.0, "duration_eval": 1}
    stat(package(tmp_path / "p"), [trial(**flat, **NAMES, layer_stat=[], notes=[1], old={})])
    bring_in(mirror, tmp_path / "p")
    names = {name for (name,) in rows(mirror, "SELECT name FROM prm")}
    assert names == {"batch", "lr", "momentum", "transform"}
    assert rows(mirror, "SELECT train_loss, epoch_max FROM train_stat") == [(1.5, 5)]


def test_a_uid_keeps_the_hyperparameters_of_its_first_trial(mirror: Store, tmp_path: Path) -> None:
    root = package(tmp_path / "p")
    stat(root, [trial()])
    stat(root, [trial(epoch=5, momentum=None, lr=1)], epoch=2)
    bring_in(mirror, root)
    settings = rows(mirror, "SELECT name, value FROM prm ORDER BY name")
    assert [name for name, _ in settings] == ["batch", "lr", "momentum", "transform"]
    assert settings[1] == ("lr", 0.01)
    [(changed, lacks)] = rows(mirror, "SELECT trial, lacks FROM nngpt_lemur_extra")
    assert json.loads(changed) == {"epoch": 5, "lr": 1} and json.loads(lacks) == ["momentum"]


@pytest.mark.parametrize("accuracy", ["NaN", "-Infinity", "1e999", "null"])
def test_non_finite_accuracy_is_kept_but_not_counted(
    mirror: Store, tmp_path: Path, accuracy: str
) -> None:
    text = json.dumps([trial(accuracy=0.125), trial(accuracy="?", uid="u2")])
    stat(package(tmp_path / "p"), text.replace('"?"', accuracy))
    assert bring_in(mirror, tmp_path / "p").rows.new == 2
    assert rows(mirror, "SELECT prm, accuracy FROM stat ORDER BY prm") == [
        ("u1", 0.125),
        ("u2", None),
    ]
    [(kept,)] = rows(mirror, "SELECT trial FROM nngpt_lemur_extra")
    assert repr(json.loads(kept)) == repr({"accuracy": json.loads(accuracy)})


def test_several_metrics_and_a_single_trial(mirror: Store, tmp_path: Path) -> None:
    root = package(tmp_path / "p")
    for name in ("bleu", "meteor"):
        write(root, f"metric/{name}.py", f"# {name}\n")
    stat(root, trial(transform=None), folder="img-captioning_coco_bleu,meteor_Net")
    report = bring_in(mirror, root)
    assert (report.metrics.new, report.rows.new, report.refused.count) == (3, 1, 0)
    assert rows(mirror, "SELECT metric, transform FROM stat") == [("bleu,meteor", None)]


BROKEN: dict[str, tuple[Any, str]] = {
    "no JSON": ("[{", "is not JSON"),
    "no UTF-8": (b'[{"uid": "\xff"}]', "is not UTF-8 (byte 10)"),
    "a number": (3, "neither a list of trials nor a trial"),
    "a list in the list": ([[1]], "a trial is a list, not an object"),
    "no accuracy": ([trial(), trial(accuracy=None)], "trial 2 of 2: a trial has no accuracy"),
    "accuracy as text": ([trial(accuracy="0.5")], "the accuracy is a string"),
    "accuracy as boolean": ([trial(accuracy=True)], "the accuracy is a boolean"),
    "duration as list": ([trial(duration=[1])], "the duration is a list"),
    "no uid": ([trial(uid=None)], "no uid"),
    "transform as number": ([trial(transform=3)], "the transform is a number"),
    "huge duration": ([trial(duration=2**63)], "duration is an integer of more than 64 bits"),
    "huge setting": ([trial(width=-(2**63) - 1)], "width is an integer of more than 64 bits"),
    "long number": ("[" + "9" * 5000 + "]", "is not JSON"),
    "half a pair": ([trial(optimizer="\ud800")], "half a surrogate pair"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "deep in a trial": ([trial(layer_stat=json.loads("[" * 80 + "]" * 80))], "64 levels deep"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused_and_the_rest_imported(
    mirror: Store, tmp_path: Path, case: str
) -> None:
    content, reason = BROKEN[case]
    root = package(tmp_path / "p")
    stat(root, [trial()])
    stat(root, content, epoch=2)
    stat(root, [trial(transform=f"{case} long " * 90_000)], epoch=3)  # a line of a megabyte
    report = bring_in(mirror, root)
    assert [epoch for (epoch,) in rows(mirror, "SELECT epoch FROM stat")] == [1, 3]
    [refused] = report.refused.first
    assert refused.path == f"stat/train/{FOLDER}/2.json" and reason in refused.reason


def test_misplaced_files_are_reported(mirror: Store, tmp_path: Path) -> None:
    root = package(tmp_path / "p")
    train = root / "ab" / "nn" / "stat" / "train"
    for folder in ("img-classification_cifar_10_acc_Net", "acc_Net", "t_d_m_Absent", "t__m_Net"):
        stat(root, [trial()], folder=folder)
    for epoch in ("01", "last", "-1", "1.5"):
        stat(root, [trial()], epoch=epoch)
    stat(root, [], folder="t_d_m_Absent", epoch=2)
    write(root, "stat/train/1.json", [trial()])
    (train / FOLDER / "9.json").mkdir()
    (train / FOLDER / "8.json").symlink_to("8.json")
    (train / "loop").symlink_to(root)
    (tmp_path / "secret").write_text("class Net: pass")
    (root / "ab" / "nn" / "nn" / "L.py").symlink_to(tmp_path / "secret")
    os.mkfifo(train / FOLDER / "7.json")
    write(root, "nn/Bad.py", b"\xff")
    for path in ("nn/__init__.py", "nn/README.md", "loader/mnist.py", "stat/nn/Net.json"):
        write(root, path, "{}")
    write(root, "stat/run/tflite/fp32/a/Net.json", "{}")
    report = bring_in(mirror, root)
    reasons = {
        refused.path.removeprefix("stat/train/"): refused.reason for refused in report.refused.first
    }
    assert rows(mirror, "SELECT count(*) FROM stat") == [(0,)]
    assert len(reasons) == report.refused.count == 15
    assert "not task_dataset_metric_network" in reasons["acc_Net/1.json"]
    assert "not task_dataset_metric_network" in reasons["t__m_Net/1.json"]
    assert reasons["t_d_m_Absent/2.json"] == "the code of its network Absent is missing"
    assert "not an epoch number" in reasons[f"{FOLDER}/01.json"]
    assert "symbolic links" in reasons[f"{FOLDER}/8.json"]
    assert "not followed" in reasons["loop"]
    assert reasons["nn/L.py"] == "is a link out of the folder (not followed)"
    assert "not a regular file" in reasons[f"{FOLDER}/7.json"]
    assert "not UTF-8" in reasons["nn/Bad.py"]
    assert report.left_alone == {"nn": 2, "loader": 1, "stat/nn": 1, "stat/run/tflite": 1}


def test_duplicates_are_stored_once_and_reported(mirror: Store, tmp_path: Path) -> None:
    root = package(tmp_path / "p")
    stat(root, [trial(), trial(), trial(metric_acc=0.5)])
    report = bring_in(mirror, root)
    assert (report.rows.read, report.rows.new) == (3, 1)
    assert [case.path for case in report.duplicates.first] == [f"stat/train/{FOLDER}/1.json"]
    assert "the first is kept" in report.refused.first[0].reason


def test_stored_code_is_never_replaced(mirror: Store, tmp_path: Path) -> None:
    one, other = package(tmp_path / "one", "Net", "Spaced"), package(tmp_path / "other", "Net")
    stat(one, [trial()])
    bring_in(mirror, one)
    write(other, "nn/Net.py", "class Other: pass\n")
    write(other, "nn/Spaced.py", "#  nn/Spaced\nclass Net:  pass\n")
    write(other, "transform/norm.py", "")
    stat(other, [trial(uid="u2")])
    stat(other, [trial(uid="u3")], folder=FOLDER.replace("_Net", "_Spaced"))
    report = bring_in(mirror, other)
    assert {(r.path, r.reason) for r in report.refused.first} == {
        ("nn/Net.py", "another network is stored as Net, and is kept"),
        ("nn/Spaced.py", "the stored network Spaced differs in white space, and is kept"),
        ("transform/norm.py", "another transform is stored as norm, and is kept"),
        (f"stat/train/{FOLDER}/1.json", "the code of its network Net was refused"),
    }
    assert rows(mirror, "SELECT prm, nn FROM stat ORDER BY prm") == [
        ("u1", "Net"),
        ("u3", "Spaced"),
    ]
    assert rows(mirror, "SELECT code FROM nn WHERE name = 'Net'") == [
        ("# nn/Net\nclass Net: pass\n",)
    ]


def test_a_second_import_changes_nothing(mirror: Store, part: Path) -> None:
    first = bring_in(mirror, part)
    before = tables(mirror)
    second = bring_in(mirror, part)
    assert tables(mirror) == before
    assert first.rows.new == first.rows.read == second.rows.read > 1000
    assert (second.rows.new, second.networks.new, second.settings.new, second.empty.new) == (0,) * 4
    assert first.refused.count == second.refused.count == 0
    assert len(rows(mirror, "SELECT 1 FROM nngpt_lemur_import WHERE finished IS NOT NULL")) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from nngpt.store.lemur.importer import import_source, open_source
from nngpt.store import Store

def progress(done, total):
    if done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

with Store.open(Path(sys.argv[1])) as store:
    import_source(store.database, open_source(Path(sys.argv[2])), progress, batch=300)
"""


def test_next_import_completes_a_killed_one(imported: Store, part: Path, tmp_path: Path) -> None:
    other = tmp_path / "killed" / "nngpt.db"
    for place in ("220", "350"):  # among the networks' code; among the statistics
        arguments = [sys.executable, "-c", KILLED, str(other), str(part), place]
        assert subprocess.run(arguments, timeout=300).returncode == -9
    with Store.open(other, create=False) as killed:
        assert rows(killed, "PRAGMA integrity_check") == [("ok",)]
        assert rows(killed, "SELECT count(*) FROM stat")[0][0] > 0
        bring_in(killed, part)
        assert tables(killed) == tables(imported)
        started = rows(killed, "SELECT finished IS NULL FROM nngpt_lemur_import")
        assert started == [(1,), (1,), (0,)]


def test_other_processes_can_write_during_an_import(mirror: Store, part: Path) -> None:
    def another_writes(done: int, total: int) -> None:
        if done % 20 == 0:  # several times in each batch
            mirror.start_run(f"run after {done} of {total}", {}, {}, seed=done)
            written.append(done)

    written: list[int] = []
    report = bring_in(mirror, part, batch=200, progress=another_writes)
    assert len(written) > 3 and len(mirror.runs()) == len(written)
    assert rows(mirror, "SELECT count(*) FROM stat") == [(report.rows.new,)]


FULL = """
import resource, signal, sys
from pathlib import Path
from nngpt.store.lemur.importer import import_source, open_source
from nngpt.store import Store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Store.open(Path(sys.argv[1])) as store:
    source = open_source(Path(sys.argv[2]))
    most = Path(sys.argv[1]).stat().st_size + 400_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    import_source(store.database, source, batch=300)
"""


def test_full_disk_is_one_line_and_finished_batches_are_kept(mirror: Store, part: Path) -> None:
    arguments = [sys.executable, "-c", FULL, str(mirror.path), str(part)]
    failed = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    last = failed.stderr.splitlines()[-1]
    assert last.startswith(f"{StoreError.__module__}.StoreError: {mirror.path}: "), failed.stderr
    assert "Check disk space" in last
    assert rows(mirror, "PRAGMA integrity_check") == [("ok",)]
    assert rows(mirror, "SELECT finished FROM nngpt_lemur_import") == [(None,)]
    assert bring_in(mirror, part).refused.count == 0
    assert not math.isnan(rows(mirror, "SELECT avg(accuracy) FROM stat")[0][0])
