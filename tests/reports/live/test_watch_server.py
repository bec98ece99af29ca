"""`nngpt cycle watch` as a process: what it serves, to whom, and that it only reads."""

from __future__ import annotations

import csv
import io
import json
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import ROOT, Nngpt
from store_samples import PROMPT, REFUSAL, completion
from watch_samples import (
    HOSTILE_CODE,
    new_run,
    open_runs,
    served,
    settle,
    watched,
    whole_cycle,
    write,
)

from nngpt.errors import StoreError
from nngpt.records import Arm
from nngpt.reports.live.database import open_watched, runner_of

RUNNER = """
import sys
from pathlib import Path
from watch_samples import open_runs, settle, write
store = open_runs(Path(sys.argv[1]))
with store, store.lease(1) as lease:
    for step in sys.stdin:
        ids = write(lease, 1, int(step), 1)
        settle(lease, ids[0], 0.5)
        print("written", flush=True)
"""


def of(state: dict[str, Any], part: str, arm: str) -> dict[str, Any]:
    """An arm's entry in a part of the state."""
    return dict(next(entry for entry in state[part] if entry["arm"] == arm))


def test_a_run_is_followed_while_it_goes_on(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store, watched(tmp_path) as nothing:
        assert nothing.address == ""  # there is no run yet: one line, and the end
        assert "no runs here" in nothing.stop()[1]
        run = new_run(store)
        with watched(tmp_path, "demo") as server, store.lease(run.id) as lease:
            state = server.run()
            assert (state["run"]["cycle"], state["run"]["cycles"], state["arms"]) == (0, 3, [])
            assert state["feed"] == state["best"] == state["totals"] == []
            assert state["leads"] == []
            lease.describe_images([str(n) for n in range(10)], "digest")
            whole_cycle(lease, 1, alarm="validity collapsed")
            whole_cycle(lease, 2)
            ids = write(lease, 3, 0, 4)
            settle(lease, ids[0], 0.9)
            state = server.run()
    assert [arm["arm"] for arm in state["arms"]] == ["loop", "base", "corpus"]
    assert state["run"]["status"] == "running"
    assert state["notes"] == [{"kind": "alarm", "text": "Cycle 1: validity collapsed"}]
    assert [lead["arm"] for lead in state["leads"]] == ["base", "corpus"]
    # Eight answers of the loop in two closed cycles, and the first of the third is decided.
    (said,) = {lead["text"].partition(" so far, ")[2] for lead in state["leads"]}
    assert said.startswith("at any time: −") and said.endswith("no difference is shown.")
    assert "all answers (9 and 4)" in said
    cycles = of(state, "series", "loop")["cycles"]
    assert [c["validity"]["text"] for c in cycles] == [
        "3/4 = 75% [30–95]",
        "3/4 = 75% [30–95]",
        "1/1 = 100% [21–100]",  # the three that are open may still be valid
    ]
    assert cycles[0]["mean"]["text"] == "46.7% ±37.9 (n = 3)"
    assert cycles[0]["above"]["text"] == "2/4 = 50% [15–85]"
    assert cycles[1]["corpus"]["text"] == "4"
    assert of(state, "totals", "base")["admitted"]["text"] == "4/4 = 100% [51–100]"
    assert [c["state"] for c in of(state, "strip", "loop")["cells"]] == [
        "admitted",
        *["generated"] * 3,
    ]
    assert [row["expected"] for row in state["strip"]] == [4, 2, 2]
    assert [step["label"] for step in state["funnel"]["steps"]] == ["settled", "parse", "threshold"]
    assert [item["id"] for item in state["feed"][:2]] == [ids[0], 16]
    assert state["best"][0]["accuracy"] == "90.0% ±6.0"
    assert state["time"]["parts"] == [
        {"name": "training + writing", "share": 1.0, "text": "10 min, 100%", "energy": "0.40 kWh"}
    ]


def test_nothing_is_sent_twice(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        run = new_run(store)
        with served(tmp_path) as server:
            tag = server.ask("/api/run")[0].headers["ETag"]
            reply, body = server.ask("/api/run", If_None_Match=tag)
            assert (reply.status, body, reply.headers["ETag"]) == (304, b"", tag)
            with store.lease(run.id) as lease:
                write(lease, 1, 0, 1)
                reply, body = server.ask("/api/run", If_None_Match=tag)
                assert reply.status == 200 and reply.headers["ETag"] != tag and body
                tag = reply.headers["ETag"]
            # Nothing was written, but nobody works on it any more.
            assert server.ask("/api/run", If_None_Match=tag)[0].status == 200


def test_one_candidate_in_full(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        run, other = new_run(store), new_run(store, "other")
        with store.lease(run.id) as lease:
            first, second = write(lease, 1, 0, 2)
            settle(lease, first, 0.5, HOSTILE_CODE)
            settle(lease, second, 0.25, "class Net: pass\n")
        with store.lease(other.id) as lease:
            elsewhere = write(lease, 1, 0, 1)[0]
        with served(tmp_path, "demo") as server:
            reply, body = server.ask("/api/attempt/1")
            assert reply.status == 200 and reply.headers["Content-Type"] == "application/json"
            assert b"\\u202e" in body and "\u202e" not in body.decode()  # shown as an escape
            for missing in (elsewhere, 99, f"1/{elsewhere}", "1/2/1"):
                assert server.ask(f"/api/attempt/{missing}")[0].status == 404
            compared = json.loads(server.ask("/api/attempt/1/2")[1])
            assert [one["id"] for one in compared["pair"]] == [1, 2]
            assert compared["facts"][1][0] == "accuracy"
            assert [value[:5] for value in compared["facts"][1][1:]] == ["50.0%", "25.0%"]
            assert {line["kind"] for line in compared["diff"]} == {"hunk", "old", "same"}
            assert json.loads(server.ask("/api/attempt/2/2")[1])["diff"] == []


def test_all_candidates_are_listed_by_pages_and_saved(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        run = new_run(store)
        with store.lease(run.id) as lease:
            for cycle in range(1, 4):
                whole_cycle(lease, cycle)
            ids = write(lease, 4, 0, 3)
    with served(tmp_path) as server:

        def listed(query: str) -> tuple[list[int], int]:
            found = json.loads(server.ask(f"/api/attempts?{query}")[1])
            return [item["id"] for item in found["items"]], found["total"]

        first, total = listed("")
        assert (first, total) == (list(range(27, 2, -1)), 27) and first[:3] == ids[::-1]
        assert listed("page=1") == ([2, 1], 27)
        assert listed("arm=base&standing=admitted&page=0")[1] == 6
        assert listed("standing=refused") == ([18, 17, 10, 9, 2, 1], 6)
        assert listed("standing=open") == (ids[::-1], 3)
        for wrong in ("arm=x", "standing=x", "page=-1", "page=x", "page=9999999999"):
            assert server.ask(f"/api/attempts?{wrong}")[0].status == 404
        reply, body = server.ask("/candidates.csv")
        assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(body.decode())))
        assert [int(row["attempt"]) for row in rows] == list(range(1, 28))
        assert (rows[0]["refused_at"], rows[2]["accuracy"]) == ("parse", "0.5")
        assert "\u202e" not in body.decode()


def test_only_this_machine_is_answered(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        new_run(store)
    with served(tmp_path) as server:
        for good in (f"127.0.0.1:{server.port}", f"localhost:{server.port}"):
            assert server.ask("/", Host=good)[0].status == 200
        foreign = f"evil.example:{server.port}"
        for host in ("evil.example", foreign, "127.0.0.1", "127.0.0.1:1", f"{server.port}", ""):
            reply, body = server.ask("/api/run", Host=host)
            assert reply.status == 403 and b"demo" not in body
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"):
            assert server.ask("/api/run", method)[0].status == 405
        with pytest.raises(ConnectionRefusedError):  # it listens on one address, not on all
            socket.create_connection(("127.0.0.2", server.port))


def test_twice_a_host_or_no_http(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        new_run(store)
    with served(tmp_path) as server:
        host = f"Host: 127.0.0.1:{server.port}\r\n"
        for sent in (f"GET / HTTP/1.1\r\n{host}Host: evil.example\r\n\r\n", "what?\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(sent.encode())
                assert b"<title>" not in connection.makefile("rb").read()
        assert server.run()["run"]["name"] == "demo"


def test_what_is_served(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        new_run(store)
    with served(tmp_path) as server:
        reply, body = server.ask("/")
        assert reply.status == 200 and b"<main>" in body
        policy = reply.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        head, nothing = server.ask("/", "HEAD")
        assert (head.headers["Content-Length"], nothing) == (str(len(body)), b"")
        assert server.ask("/main.js")[0].headers["Content-Type"].startswith("text/javascript")
        for path in ("/../server.py", "/server.py", "//etc/passwd", "/api/attempt/x", "/api"):
            assert server.ask(path)[0].status == 404


def test_a_runner_in_another_process(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        new_run(store)
        with served(tmp_path) as server:
            assert server.run()["run"]["status"] == "idle"
            with subprocess.Popen(
                [sys.executable, "-c", RUNNER, str(tmp_path)],
                env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            ) as runner:
                assert runner.stdin is not None and runner.stdout is not None
                for step in range(3):
                    print(step, file=runner.stdin)
                    assert runner.stdout.readline() == "written\n"
                    state = server.run()
                    assert len(state["feed"]) == step + 1
                    assert (state["run"]["status"], state["run"]["pid"]) == ("running", runner.pid)
                runner.kill()
            assert server.run()["run"]["status"] == "idle"
            with store.lease(1) as lease:  # who watches does not keep a runner from starting
                lease.finish_run("nothing improved")
            state = server.run()
    assert (state["run"]["status"], state["notes"][0]["kind"]) == ("done", "end")


def test_a_lock_file_without_a_runner(tmp_path: Path) -> None:
    database = tmp_path / "nngpt.db"
    assert runner_of(database, 1) is None
    lock = tmp_path / "nngpt.db.run-1.lock"
    for left in ("", "999999999\n", "1\n", "what\n"):
        lock.write_text(left)
        assert runner_of(database, 1) is None


def test_nothing_can_be_written(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        run = new_run(store)
    watching, _ = open_watched(tmp_path / "runs" / "nngpt.db")
    with watching:
        assert watching.run("demo").id == run.id
        with pytest.raises(StoreError, match="readonly"):
            watching.reopen_run(run.id)


def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "nngpt.db"
    with open_runs(tmp_path) as store:
        new_run(store)
    # A writer of ours never keeps readers out; without the write-ahead log one can.
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = DELETE")
    with served(tmp_path) as server:
        other.execute("BEGIN EXCLUSIVE")
        reply, body = server.ask("/api/run")
        assert reply.status == 503 and b"locked" in body
        other.execute("ROLLBACK")
        other.close()
        assert server.run()["run"]["name"] == "demo"
        path.rename(path.with_name("elsewhere"))
        reply, body = server.ask("/api/run")
        assert reply.status == 503 and b"No such file" in body
        path.with_name("elsewhere").rename(path)
        assert server.run()["run"]["name"] == "demo"


def test_stopping_it(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        new_run(store)
    with watched(tmp_path) as server:
        assert server.address == f"http://127.0.0.1:{server.port}/"
        code, said = server.stop()
    assert code == 130
    assert said.splitlines()[-1] == "Stopped watching. The run is not affected."
    assert "Traceback" not in said


def test_mistakes(tmp_path: Path, nngpt: Nngpt) -> None:
    done = nngpt("cycle", "watch")
    assert (done.returncode, done.stdout) == (2, "") and "no runs here" in done.stderr
    with open_runs(tmp_path) as store:
        new_run(store)
    done = nngpt("cycle", "watch", "demu")
    assert (done.returncode, done.stdout) == (2, "") and "Did you mean 'demo'?" in done.stderr
    with watched(tmp_path) as server:
        done = nngpt("cycle", "watch", "--port", server.port)
        assert done.returncode == 2 and "Address already in use" in done.stderr
    database = sqlite3.connect(tmp_path / "runs" / "nngpt.db")
    database.execute("UPDATE alembic_version SET version_num = '0006'")
    database.commit()
    database.close()
    done = nngpt("cycle", "watch")
    assert done.returncode == 2 and "has schema 0006" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_repairs_and_controls_count_apart(tmp_path: Path) -> None:
    with open_runs(tmp_path) as store:
        run = new_run(store, controls={"base": 0.25, "corpus": 0.0})
        with store.lease(run.id) as lease:
            good, bad = write(lease, 1, 0, 2)
            settle(lease, good, 0.5)
            lease.refuse(bad, REFUSAL)
            settle(lease, lease.add_repair(bad, PROMPT, completion()), 0.9)
            settle(lease, write(lease, 1, 1, 1, Arm.BASE)[0], 0.7)
        with served(tmp_path) as server:
            state = server.run()
    assert of(state, "totals", "loop")["best"]["text"] == "50.0% ±9.6"
    assert of(state, "totals", "loop")["validity"]["text"] == "1/2 = 50% [9–91]"
    assert of(state, "totals", "base")["best"]["text"] == "70.0% ±8.8"
    assert [row["expected"] for row in state["strip"]] == [3, 1]
    assert [cell["repair"] for cell in of(state, "strip", "loop")["cells"]] == [False, False, True]
    assert next(item for item in state["feed"] if item["repairs"])["repairs"] == bad
