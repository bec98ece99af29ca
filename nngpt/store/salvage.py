"""Damage report of a database, and a copy of the rows that are whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nngpt.errors import StoreError
from nngpt.store import integrity
from nngpt.store.database import open_database

_SHOWN = 20


@dataclass(frozen=True)
class DamageReport:
    """What is damaged in a database, and how many attempts of each of its runs are whole."""

    path: str
    findings: list[integrity.Finding]
    runs: list[dict[str, Any]]

    @property
    def lines(self) -> list[str]:
        """The report for the user."""
        lines = [finding.line for finding in self.findings[:_SHOWN]]
        if more := len(self.findings) - len(lines):
            lines.append(f"… and {more} more (all: --json)")
        for run in self.runs:
            lines.append("run {run} ({name}): {whole} of {attempts} attempts whole".format(**run))
        if not self.findings:
            return [*lines, f"{self.path} is whole"]
        how = "Restore it from a copy, or save what is whole: --save FILE"
        return [*lines, f"{self.path} is damaged. {how}"]


def report_damage(path: Path, run: str | None) -> DamageReport:
    """Examine a database: all of it, or what concerns the run of this number or name.

    Raises:
        StoreError: no such run.
    """
    query = """SELECT r.id, r.name, count(a.id) FROM nngpt_run AS r
        LEFT JOIN nngpt_attempt AS a ON a.run_id = r.id GROUP BY r.id"""
    with closing(integrity.connect_read_only(path)) as db:
        findings = integrity.examine(db, thorough=True)
        try:
            rows = db.execute(query).fetchall()
        except sqlite3.DatabaseError:
            rows = []
    damaged = {(f.run, f.attempt) for f in findings if f.attempt is not None}
    runs = [
        {
            "run": number,
            "name": name,
            "attempts": count,
            "whole": count - sum(of == number for of, _ in damaged),
        }
        for number, name, count in rows
        if run in (None, name, str(number))
    ]
    if run is not None and rows:
        if not runs:
            raise StoreError(f"no run {run!r}", where=str(path))
        findings = [f for f in findings if f.run in (None, *(found["run"] for found in runs))]
    return DamageReport(str(path), findings, runs)


def save_whole(source: Path, target: Path) -> int:
    """Copy the whole rows of a database to a new one; return the number of rows left out.

    An attempt that lost a row is left out. If any row is, all runs are archived in the copy: they
    can be shown and reported, but a run with gaps must not be resumed.

    Raises:
        StoreError: `target` exists, or cannot be written.
    """
    if target.exists():
        raise StoreError("exists already", where=str(target), hint="Give the name of a new file")
    open_database(target, create=True).close()
    lost = 0
    with (
        closing(integrity.connect_read_only(source)) as old,
        closing(sqlite3.connect(target)) as new,
        new,
    ):
        for table, row in integrity.whole_rows(old):
            lost += row is None
            if row is not None:
                names, places = ", ".join(table.columns), ", ".join("?" * len(row))
                new.execute(f"INSERT INTO {table.name} ({names}) VALUES ({places})", row)
        deleted = 1
        while deleted:  # what refers to a lost row
            wrong = list(integrity.contradictions(new))
            deleted = sum(integrity.delete_row(new, finding) for finding in wrong)
            lost += deleted
        if lost:
            new.execute("UPDATE nngpt_run SET status = 'archived'")
        integrity.adopt(new, target)
    return lost
