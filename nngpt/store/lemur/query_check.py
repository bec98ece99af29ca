"""Check the names in a query against the mirror, and suggest the nearest known name."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from nngpt.errors import UserError, nearest
from nngpt.store.lemur.queries import Query, family, of_family
from nngpt.store.lemur_tables import nn, stat

_LISTED = 30
"""Maximum number of known names listed in a message."""


def check_names(session: Session, query: Query) -> None:
    """Check that every name in a query for trials is in the LEMUR mirror.

    Raises:
        UserError: a name is unknown; the message suggests the nearest known name.
    """
    for option in ("task", "dataset", "metric"):
        check_column(session, option, getattr(query, option), f"--{option}")
    if query.nn is not None and not session.scalar(select(exists().where(nn.c.name == query.nn))):
        raise _unknown("network", query.nn, "--nn", _networks(session))
    if query.family is not None:
        members = of_family(nn.c.name, query.family)
        if not session.scalar(select(exists().where(members))):
            families = sorted({family(name) for name in _networks(session)})
            raise _unknown("family", query.family, "--family", families)
    if query.content_hash is not None:
        _check_hash(session, query.content_hash)


def check_column(session: Session, column: str, value: str | None, where: str) -> None:
    """Check that trials have this value in a column of `stat`, or None. Raises: UserError."""
    there = stat.c[column] == value
    if value is not None and not session.scalar(select(exists().where(there))):
        known = session.scalars(select(stat.c[column]).distinct())
        title = {"dataset": "data set"}.get(column, column)
        raise _unknown(title, value, where, [name for name in known if name])


def _check_hash(session: Session, content_hash: str) -> None:
    if not session.scalar(select(exists().where(nn.c.id == content_hash))):
        raise UserError(
            f"no network has the content hash {content_hash!r}",
            where="--hash",
            hint="Give the md5 of the code without white space, as 32 hexadecimal digits",
        )


def _networks(session: Session) -> Sequence[str]:
    return session.scalars(select(nn.c.name)).all()


def _unknown(title: str, name: str, where: str, known: Sequence[str]) -> UserError:
    hint = nearest(name, known)
    if len(known) > _LISTED and not hint.startswith("Did"):
        hint = "`nngpt lemur stats` lists the families" if title == "family" else ""
    return UserError(f"no {title} {name!r} in the mirror", where=where, hint=hint)
