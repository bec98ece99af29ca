"""A run begun by an nngpt from before the packages moved, resumes and ends as it would have ended.

`old_run/` holds its database and adapters, killed while attempt 14 trained, and in
`finished.json` the attempts of the same run when the old version finished it.
"""

from __future__ import annotations

import json
import lzma
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from command_line import ROOT, Nngpt

from nngpt import config
from nngpt.cycle.runner import check_same_settings
from nngpt.errors import UserError
from nngpt.store import Store

OLD = Path(__file__).with_name("old_run")
PUBLISHED = ROOT / "docs" / "results" / "controls-cifar10" / "first-recipe"
SETTINGS = {
    "name": "before-layout",
    "cycles": 3,
    "llm.backend": "scripted",
    "llm.options.script": "answers.jsonl",
    "llm.batch_size": 4,
    "candidates.per_cycle": 10,
    "candidates.repairs": 1,
    "controls.base": 0.2,
    "controls.corpus": 0.2,
    "learning.corpus": "smollm2-135m-lemur/features.jsonl.gz",
    "learning.corpus_limit": 20,
    "learning.learner": "crash.instant_learner",
    "task.train_limit": 800,
    "task.validation_limit": 200,
    "task.threshold": 0.31,
    "evaluation.threads": 1,
    "evaluation.limit_s": 60,
    "novelty.threshold": 0.7,
}


@pytest.fixture
def old_run(tmp_path: Path) -> list[str]:
    """Copy the run into this test's folder; return the arguments of the command that resumes it."""
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    pairs = [f"{key}={value}" for key, value in SETTINGS.items()]
    return ["cycle", "run", "smoke-mnist", *(part for pair in pairs for part in ("--set", pair))]


def test_a_run_begun_before_the_move_ends_as_it_would_have(
    nngpt: Nngpt, old_run: list[str], tmp_path: Path
) -> None:
    finished = json.loads((OLD / "finished.json").read_text())
    resumed = nngpt(*old_run, PYTHONPATH=str(Path(__file__).parents[1]))
    assert resumed.returncode == 0, resumed.stderr
    columns = finished["columns"]
    with closing(sqlite3.connect(tmp_path / "runs" / "nngpt.db")) as database, database:
        query = f"SELECT {', '.join(columns)} FROM nngpt_attempt ORDER BY cycle, place"
        found = [dict(zip(columns, row, strict=True)) for row in database.execute(query)]
    expected = [dict(zip(columns, row, strict=True)) for row in finished["attempts"]]
    for one, other in zip(found, expected, strict=True):
        for accuracy in ("accuracy", "retrained_accuracy"):
            # Another processor rounds differently; the threshold is far from every accuracy.
            assert one.pop(accuracy) == pytest.approx(other.pop(accuracy), abs=0.06)
        assert one == other


def test_a_run_that_stored_the_exact_measure_as_minhash_has_the_same_settings(
    tmp_path: Path,
) -> None:
    """Of a published run, whose database the last version with that name wrote."""
    path = tmp_path / "nngpt.db"
    path.write_bytes(lzma.decompress((PUBLISHED / "nngpt.db.xz").read_bytes()))
    before = config.load(PUBLISHED / "config.yaml", [f"folder={tmp_path}"])
    with Store.open(path, create=False) as store:
        run = store.run(before.name)
        assert run.config["novelty"]["measure"] == "minhash"
        check_same_settings(run, before)
        admitted = store.admitted(run.id)
        assert len(admitted) == len({a.content_hash for a in admitted}) == 184
    estimated = config.load(PUBLISHED / "config.yaml", ["novelty.measure=minhash"])
    with pytest.raises(UserError, match=r"novelty\.measure was jaccard, is minhash"):
        check_same_settings(run, estimated)


def test_an_old_key_is_refused_with_the_new_one(nngpt: Nngpt, old_run: list[str]) -> None:
    given = [part.replace("llm.options.script", "llm.script") for part in old_run]
    refused = nngpt(*given)
    assert refused.returncode == 2
    assert "llm.script" in refused.stderr and "llm.options.script" in refused.stderr
    assert refused.stderr.count("\n") == 1
