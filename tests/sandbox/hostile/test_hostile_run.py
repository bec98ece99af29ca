"""Hostile candidates in a run: each ends as one row with a reason, and the run continues."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from command_line import run_nngpt, scripted_settings
from hostile_samples import hostile
from sandbox_samples import HONEST

from nngpt.generation.contract.answers import Answer, write
from nngpt.records import content_hash
from nngpt.store import Store

EXITS = 'getattr(getattr(torch, "o" + "s"), "_exit")(7)'
SPINS = "while True: pass"
FORKS = 'getattr(getattr(torch, "o" + "s"), "fork")()'
SIGNALS = """
getattr(getattr(torch, "o" + "s"), "kill")(1, 11)
raise RuntimeError("still here")
"""
ATTACKS = {
    "exits": (hostile("learn", EXITS), "train", "ended without a result (exit code 7)"),
    "spins": (hostile("learn", SPINS), "train", "used more than its 3 CPU seconds"),
    "sleeps": (hostile("learn", "import time; time.sleep(600)"), "train", "slept more than 3 sec"),
    "forks": (hostile("learn", FORKS), "train", "PermissionError"),
    "lies in wait": (hostile("forward", EXITS), "forward", "ended without a result (exit code 7)"),
    "signals": (hostile("learn", SIGNALS), "train", "still here"),
}


def test_each_hostile_candidate_is_one_row_with_a_reason(tmp_path: Path) -> None:
    codes = [*(code for code, _, _ in ATTACKS.values()), HONEST]
    settings = [*scripted_settings(tmp_path), "--set", "prompt.template=full"]
    lines = [json.dumps({"text": write(Answer(code, {}))}) + "\n" for code in codes]
    (tmp_path / "answers.jsonl").write_text("".join(lines))
    own = {
        "candidates.per_cycle": len(codes),
        "llm.batch_size": len(codes),
        "evaluation.limit_s": 3,
        "task.threshold": 0,
    }
    settings += [part for key, value in own.items() for part in ("--set", f"{key}={value}")]
    done = run_nngpt(tmp_path, ["cycle", "run", "smoke-mnist", "--cycles", 1, *settings])
    assert (done.returncode, done.stderr) == (0, "")
    assert "Alarm: 1 of 7 candidates were ended asleep" in done.stdout
    assert "raise evaluation.limit_s" in done.stdout
    database = tmp_path / "runs" / "nngpt.db"
    with Store.open(database, create=False) as store:
        attempts = store.attempts(1)
    by_code = {a.content_hash: a for a in attempts}
    assert len(by_code) == len(attempts) == len(codes), [a.refusal for a in attempts]
    for name, (code, stage, reason) in ATTACKS.items():
        refusal = by_code[content_hash(code)].refusal
        assert refusal is not None, name
        assert (refusal.stage, reason in refusal.reason) == (stage, True), (name, refusal)
    assert by_code[content_hash(HONEST)].state == "admitted"
    assert by_code[content_hash(HONEST)].evaluation is not None
    with closing(sqlite3.connect(database)) as db, db:
        ends = db.execute(
            "SELECT attempt_id FROM nngpt_transition WHERE after IN ('admitted', 'refused')"
        ).fetchall()
    assert Counter(ends) == {(a.id,): 1 for a in attempts}
