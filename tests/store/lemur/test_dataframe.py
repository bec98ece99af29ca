"""The DataFrame with LEMUR's columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mirror_samples import NETWORKS, SETTINGS, make_mirror
from sqlalchemy import Engine, event

from nngpt.errors import StoreError
from nngpt.records import content_hash
from nngpt.store.lemur.dataframe import data

# As `ab.nn.api.data` of LEMUR 2.1.2 gives them.
COLUMNS = [
    *("id", "task", "dataset", "metric", "metric_code", "metric_id", "nn", "nn_code", "nn_id"),
    *("epoch", "accuracy", "duration", "prm_id", "transform_code", "transform_id", "prm"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a mirror that the tests only read."""
    path = tmp_path_factory.mktemp("mirror") / "nngpt.db"
    make_mirror(path).close()
    return path


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """Collect the SQL statements executed during the test."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


def test_columns_and_types_are_lemurs(path: Path) -> None:
    frame = data(path)
    assert list(frame.columns) == COLUMNS
    kinds = {name: frame[name].dtype.kind for name in ("epoch", "accuracy", "duration")}
    assert kinds == {"epoch": "i", "accuracy": "f", "duration": "i"}
    assert list(frame["id"]) == ["a3", "a1", "a2", "b1", "b2", "e1", "c1", "d2", "d1"]
    assert frame["accuracy"].isna().sum() == 1


def test_a_row_contains_network_transform_and_hyperparameters(path: Path) -> None:
    row = data(path, nn="AlexNet", epoch=2).iloc[0]
    assert (row["nn_code"], row["nn_id"]) == (
        NETWORKS["AlexNet"],
        content_hash(NETWORKS["AlexNet"]),
    )
    assert (row["accuracy"], row["duration"], row["prm_id"]) == (0.6, 3_000_000_000, "u1")
    assert row["prm"] == SETTINGS["u1"]
    assert isinstance(row["prm"]["momentum"], float)
    assert row["transform_code"].startswith("def transform")


def test_code_that_lemur_does_not_define_is_missing(path: Path) -> None:
    row = data(path).set_index("id").loc["a3"]  # its transform is "default"
    assert row[["transform_code", "transform_id"]].isna().all()


def test_rows_share_code_but_not_hyperparameters(path: Path) -> None:
    frame = data(path, nn="AlexNet-2f1c", only_best_accuracy=False)
    first, second = frame["nn_code"]
    assert first is second
    frame = data(path, dataset="cifar-10")
    frame["prm"].iloc[0]["lr"] = 9.0
    assert all(prm["lr"] != 9.0 for prm in frame["prm"].iloc[1:])


def test_without_code_none_is_read(path: Path, statements: list[str]) -> None:
    frame = data(path, code=False)
    assert list(frame.columns) == [name for name in COLUMNS if not name.endswith("_code")]
    assert any("stat" in statement for statement in statements)
    assert not any(".code" in statement for statement in statements)
    data(path)
    assert any("nn.code" in statement for statement in statements)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"only_best_accuracy": True}, "a3 a2 b1 e1 c1 d2"),
        ({"only_best_accuracy": True, "dataset": "mnist", "max_rows": 1}, "c1"),
        ({"nn_prefixes": ("ga-", "AlexNetX")}, "e1 c1 d2 d1"),
        ({"task": "img-classification", "metric": "acc", "epoch": 2}, "a2"),
        ({"max_rows": 0}, ""),
    ],
)
def test_rows_are_filtered_as_in_lemur(path: Path, options: dict[str, Any], expected: str) -> None:
    assert list(data(path, **options)["id"]) == expected.split()


def test_an_empty_result_has_the_columns(path: Path) -> None:
    frame = data(path.parent, dataset="nowhere")  # a folder will do
    assert (len(frame), list(frame.columns)) == (0, COLUMNS)


def test_missing_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such database"):
        data(tmp_path)
    assert list(tmp_path.iterdir()) == []
