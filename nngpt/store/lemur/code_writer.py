"""Writes networks, transforms and metrics, and knows which networks statistics may name."""

from __future__ import annotations

from sqlalchemy import Table, insert, select, update
from sqlalchemy.orm import Session

from nngpt.records import content_hash
from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur.lookups import among
from nngpt.store.lemur.records import KINDS, CodeFile, Count, ImportReport, Kind

_TABLES: dict[Kind, Table] = {"nn": lemur.nn, "transform": lemur.transform, "metric": lemur.metric}
_NOUNS: dict[Kind, str] = {"nn": "network", "transform": "transform", "metric": "metric"}


class Networks:
    """Which networks are here, and which of them a source means otherwise.

    Attributes:
        here: names with code in the database.
        other: names under which the source has code that is not here.
    """

    def __init__(self, here: set[str]) -> None:
        self.here = here
        self.other: set[str] = set()

    def cannot_be_had(self, name: str | None) -> None:
        """The source's code for this network is broken."""
        if name is not None:
            self.other.add(name)

    def objection(self, name: str) -> str | None:
        """Why nothing can be recorded of a network, None if it can."""
        if name in self.here:
            return f"the code of its network {name} was refused" if name in self.other else None
        return f"there is no code of its network {name}"


class CodeWriter:
    """Writes code; what is here stays as it is."""

    def __init__(self, session: Session, report: ImportReport) -> None:
        self.networks = Networks(set(session.scalars(select(lemur.nn.c.name))))
        self._report = report
        counts = (report.networks, report.transforms, report.metrics)
        self._counts: dict[Kind, Count] = dict(zip(KINDS, counts, strict=True))

    def write(self, session: Session, files: list[CodeFile]) -> None:
        """Write a batch of files."""
        for kind in KINDS:
            mine = [file for file in files if file.kind == kind]
            if mine:
                self._write(session, kind, mine)

    def _write(self, session: Session, kind: Kind, files: list[CodeFile]) -> None:
        table, count = _TABLES[kind], self._counts[kind]
        here = _codes(session, table, [file.name for file in files])
        rows = []
        for file in files:
            count.read += 1
            row = {"name": file.name, "code": file.code, "id": content_hash(file.code)}
            present = here.get(file.name)
            if not present:
                # Our own runs name LEMUR's transforms and metrics without having their code.
                here[file.name] = file.code
                count.new += 1
                if present is None:
                    rows.append(row)
                else:
                    session.execute(update(table).where(table.c.name == file.name).values(row))
            elif present != file.code:
                self._object(file, same=content_hash(present) == row["id"])
        if rows:
            session.execute(insert(table), rows)
        if kind == "nn":
            self.networks.here.update(here)

    def _object(self, file: CodeFile, same: bool) -> None:
        noun = _NOUNS[file.kind]
        if same:
            reason = f"the {noun} {file.name} that is here has other white space, and stays"
        else:
            reason = f"another {noun} is here as {file.name}, and stays"
            if file.kind == "nn":
                self.networks.other.add(file.name)
        self._report.refused.add(file.path, reason)


def _codes(session: Session, table: Table, names: list[str]) -> dict[str, str]:
    """The code that is here under each of these names."""
    query = select(table.c.name, table.c.code).where(among(table.c.name, names))
    return {row.name: row.code for row in session.execute(query)}
