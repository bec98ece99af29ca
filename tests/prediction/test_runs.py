"""Runs of the mirror, their targets, groups and folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lemur_part import NETWORKS
from sqlalchemy import insert

from nngpt.errors import UserError
from nngpt.prediction import groups, targets
from nngpt.prediction.runs import History, TrainingRun, read_history
from nngpt.store import Store
from nngpt.store.lemur_tables import nn, stat


def test_all_epochs_of_long_runs_are_read(history: History, mirror: Path) -> None:
    with Store.open(mirror / "nngpt.db", create=False) as store, store.database.read() as session:
        rows = session.execute(
            stat.select().where(stat.c.nn == "MNASNet", stat.c.dataset == "svhn")
        ).all()
    long = {(row.prm, row.transform) for row in rows if row.epoch == 50}
    rows = [row for row in rows if (row.prm, row.transform) in long]
    read = [r for r in history.runs if (r.network, r.place.dataset) == ("MNASNet", "svhn")]
    assert len(read) == 3 and all(len(run.accuracies) == 50 for run in read)
    assert sorted(a for run in read for a in run.accuracies) == sorted(r.accuracy for r in rows)
    assert {run.network for run in history.runs} == set(NETWORKS) == set(history.codes)
    assert {"lr", "batch", "momentum"} <= set(read[0].hyperparameters)


def test_targets_are_the_best_accuracy_and_the_first_epoch_within_one_point_of_it(
    history: History,
) -> None:
    run = history.runs[0]
    early = TrainingRun(run.network, run.place, {}, None, (0.2, 0.695, 0.5, 0.7, 0.1))
    late = TrainingRun(run.network, run.place, {}, None, (0.2, float("nan"), 0.68, 0.7))
    assert targets.best([early, late]).tolist() == [0.7, 0.7]
    assert (targets.stop([early, late]) * targets.EPOCHS).tolist() == [2, 4]
    so_far = targets.best_so_far([early, late], 2)
    assert so_far.tolist() == [0.695, 0.2]
    share = targets.share_of_room(targets.best([early, late]), so_far)
    assert targets.accuracy(share, so_far) == pytest.approx([0.7, 0.7])
    assert targets.accuracy(np.array([-1.0, 9.0]), so_far) == pytest.approx([0.695, 1.0])


def test_folds_never_split_groups_and_are_deterministic(history: History) -> None:
    families = groups.by_family(history.runs, history.codes)
    parts = groups.by_component(history.runs, history.codes)
    assert {f for f, r in zip(families, history.runs, strict=True) if "DenseNet" in r.network} == {
        "DenseNet"
    }
    by_component: dict[str, set[str]] = {}
    for part, name in zip(parts, families, strict=True):
        by_component.setdefault(part, set()).add(name)
    assert all(len(names) == 1 for names in by_component.values()), "families join components"
    folds = groups.folds(families, 5)
    assert (folds == groups.folds(families, 5)).all() and set(folds) == {0, 1, 2, 3, 4}
    where: dict[str, set[int]] = {}
    for name, fold in zip(families, folds, strict=True):
        where.setdefault(name, set()).add(int(fold))
    assert all(len(found) == 1 for found in where.values())


def test_copies_under_other_names_share_a_component(history: History) -> None:
    code = history.codes["VGG"]
    codes = {"VGG": code, "Copy": code.replace("64", "32"), "MNASNet": history.codes["MNASNet"]}
    assert groups.components(codes) == {"VGG": "Copy", "Copy": "Copy", "MNASNet": "MNASNet"}


def test_errors_about_a_missing_or_empty_mirror_tell_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no mirror here\. Fetch LEMUR: nngpt lemur pull"):
        read_history(tmp_path)
    with Store.open(tmp_path / "nngpt.db") as store:
        with pytest.raises(UserError, match=r"no run of 50 or more epochs.*nngpt lemur pull"):
            read_history(tmp_path, 50)
        with store.database.write() as session:
            session.execute(insert(nn), [{"name": "A", "code": "x", "id": "1"}])
            place = {"task": "t", "dataset": "d", "metric": "m", "nn": "A", "transform": None}
            rows = [{**place, "id": str(e), "epoch": e, "prm": "u"} for e in (1, 50)]
            session.execute(insert(stat), [{**r, "accuracy": 1.5} for r in rows])
        with pytest.raises(UserError, match="no run of 50"):
            read_history(tmp_path, 50)
