"""Queries for trials: results, order, and use of indexes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mirror_samples import NETWORKS, SETTINGS, make_mirror
from sqlalchemy import Engine, event

from nngpt.errors import UserError
from nngpt.records import content_hash
from nngpt.store import Store
from nngpt.store.lemur import mirror
from nngpt.store.lemur.mirror import Query, check_names, family
from nngpt.store.lemur.mirror_statistics import MirrorStatistics, read_statistics


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Open a mirror that the tests only read."""
    with make_mirror(tmp_path_factory.mktemp("mirror") / "nngpt.db") as made:
        yield made


def _ids(store: Store, query: Query) -> list[str]:
    with store.database.read() as session:
        found = [trial.id for trial in mirror.trials(session, query)]
        if query.limit is None:
            assert mirror.count(session, query) == len(found)
        return found


def _statistics(store: Store) -> MirrorStatistics:
    with store.database.read() as session:
        return read_statistics(session)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(), "a3 a1 a2 b1 b2 e1 c1 d2 d1"),
        (Query(by_accuracy=True), "c1 b1 b2 a2 a3 a1 e1 d2 d1"),
        (Query(by_accuracy=True, limit=2), "c1 b1"),
        (Query(dataset="mnist"), "c1 d2 d1"),
        (Query(nn="AlexNet", epoch=1), "a3 a1"),
        (Query(family="AlexNet"), "a3 a1 a2 b1 b2"),
        (Query(family="AlexNet", dataset="mnist"), ""),
        (Query(nn_prefixes=("AlexNet-", "ga")), "b1 b2 e1 d2 d1"),
        (Query(nn_prefixes=("alex", "_", "%")), ""),
        (Query(min_accuracy=0.6), "a2 b1 b2 c1"),
        (Query(content_hash=content_hash(NETWORKS["ga-aa"])), "e1 d2 d1"),
        (Query(task="img-classification", metric="acc", dataset="mnist", epoch=5), "c1"),
        (Query(best=True), "a3 a2 b1 e1 c1 d2"),
        (Query(best=True, dataset="cifar-10", epoch=1, by_accuracy=True), "b1 a3 e1"),
        (Query(best=True, by_accuracy=True, limit=2), "c1 b1"),
    ],
)
def test_queries_filter_and_order_trials(store: Store, query: Query, expected: str) -> None:
    assert _ids(store, query) == expected.split()


def test_hyperparameters_keep_their_types(store: Store) -> None:
    with store.database.read() as session:
        found = mirror.hyperparameters(session, ["u2", "u1", None, "u1", "unknown"])
    assert found == SETTINGS
    kinds = {name: type(value) for name, value in found["u1"].items()}
    assert kinds == {"lr": float, "batch": int, "momentum": float, "transform": str}


def test_networks_are_found_by_hash(store: Store) -> None:
    assert mirror.find_by_hash(store.database, content_hash("class Net: width=1")) == [
        "ga-aa",
        "ga-bb",
    ]
    assert mirror.find_by_hash(store.database, content_hash("class Net: width=2")) == []


@pytest.mark.parametrize(
    "query",
    [
        Query(dataset="cifar-10", epoch=1, by_accuracy=True, limit=5),
        Query(dataset="cifar-10", best=True),
        Query(nn="AlexNet"),
        Query(family="ga"),
        Query(content_hash="0" * 32),
        Query(nn_prefixes=("ga-", "rl-")),
    ],
)
def test_no_query_reads_a_whole_table(store: Store, query: Query) -> None:
    def ask() -> None:
        with store.database.read() as session:
            found = mirror.trials(session, query)
            mirror.hyperparameters(session, [trial.prm for trial in found])

    _expect_look_ups(_plans(store, ask), 2)


def test_a_look_up_by_hash_reads_no_whole_table(store: Store) -> None:
    _expect_look_ups(_plans(store, lambda: mirror.find_by_hash(store.database, "0" * 32)), 1)


def _expect_look_ups(plans: list[list[str]], count: int) -> None:
    assert len(plans) == count
    for plan in plans:
        assert any(line.startswith("SEARCH") for line in plan)
        assert not any(re.match("SCAN (stat|nn|prm)", line) for line in plan), plan


def _plans(store: Store, ask: Callable[[], object]) -> list[list[str]]:
    """Return SQLite's query plans of the statements that `ask` executes."""
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    with store.database.read() as session:
        explain = session.connection().exec_driver_sql
        made = [explain(f"EXPLAIN QUERY PLAN {sql}", values).all() for sql, values in statements]
    return [[row[3] for row in plan] for plan in made]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (Query(dataset="cifar10"), r"--dataset: no data set 'cifar10' .* Did you mean 'cifar-10'"),
        (Query(task="captions"), "no task 'captions' .* Known: img-classification"),
        (Query(metric="iou"), "Known: acc"),
        (Query(nn="AlexNet-2f1"), "--nn: .* Did you mean 'AlexNet-2f1c'"),
        (Query(family="Alexnet"), "--family: .* Did you mean 'AlexNet'"),
        (Query(content_hash="abc"), "--hash: no network has the content hash 'abc'"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(store: Store, query: Query, message: str) -> None:
    with store.database.read() as session, pytest.raises(UserError, match=message):
        check_names(session, query)


def test_a_network_without_trials_is_known(store: Store) -> None:
    query = Query(nn="rl-idle", family="rl", content_hash=content_hash(NETWORKS["rl-idle"]))
    with store.database.read() as session:
        check_names(session, query)
        assert mirror.trials(session, query) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AlexNet-355f849c-18de-4d93-b571-b7dd5db94569", "AlexNet"),
        ("rl-init-9d71f6dc033955dd14a33db2b858577a", "rl"),
        ("FractalNet", "FractalNet"),
        ("a16b25d485622212877ca354ebc2a363", "a16b25d485622212877ca354ebc2a363"),
        ("-odd", "-odd"),
    ],
)
def test_family_of_a_name(name: str, expected: str) -> None:
    assert family(name) == expected


def test_statistics_of_the_mirror(store: Store) -> None:
    found = _statistics(store)
    assert (found.networks, found.distinct, found.transforms) == (6, 5, 1)
    assert found.families == {"AlexNet": 2, "ga": 2, "AlexNetX": 1, "rl": 1}
    assert found.last_epochs == {1: 6, 2: 1, 5: 1}
    assert (found.empty, found.signatures) == (1, 0)
    endings = [(line.source, line.finished, line.refused) for line in found.imports]
    assert endings == [("a.whl", None, None), ("b.whl", "2026", 2)]


def test_best_and_median_count_trials_with_an_accuracy(store: Store) -> None:
    cifar, mnist = _statistics(store).datasets
    assert (cifar.dataset, cifar.networks, cifar.runs, cifar.rows) == ("cifar-10", 3, 5, 6)
    assert (cifar.best, cifar.best_nn) == (0.7, "AlexNet-2f1c")
    assert cifar.median == pytest.approx(0.575)
    assert (mnist.rows, mnist.accuracies, mnist.median) == (3, 2, pytest.approx(0.545))
