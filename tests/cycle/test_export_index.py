"""The index of a folder of exported networks, after each network."""

from __future__ import annotations

import json
from pathlib import Path

from nngpt.cycle.export import ExportIndex
from nngpt.store import RunRecord

MADE = {"attempts": [3, 1], "onnx": True}
RECORD = RunRecord(
    id=1,
    name="r",
    config={},
    identity="",
    seed=1,
    status="done",
    fence=1,
    created="2026-01-01",
    updated="2026-01-01",
)


def network(out: Path, attempt: int) -> dict[str, object]:
    folder = out / f"{attempt}"
    folder.mkdir()
    (folder / "card.md").touch()
    return {"attempt": attempt, "folder": folder.name, "judged": [1, 2]}


def test_each_network_is_written_at_once_in_the_order_of_the_attempts(tmp_path: Path) -> None:
    index = ExportIndex(tmp_path, RECORD, MADE)
    assert not index.resume()
    one, three = network(tmp_path, 1), network(tmp_path, 3)
    for number, row in enumerate((one, three), 1):
        index.add(row)
        assert len(json.loads((tmp_path / "index.json").read_text())["networks"]) == number
        assert (tmp_path / "index.md").read_text().count("of 2 |") == number
    again = ExportIndex(tmp_path, RECORD, MADE)
    assert again.resume() and again.facts["networks"] == [three, one]


def test_only_whole_networks_are_taken_over(tmp_path: Path) -> None:
    index = ExportIndex(tmp_path, RECORD, MADE)
    index.add({"attempt": 3, "refused": "train: took longer than 1 s"})
    index.add({"attempt": 1, "folder": "gone"})
    again = ExportIndex(tmp_path, RECORD, MADE)
    assert again.resume() and again.rows == {}
    assert not ExportIndex(tmp_path, RECORD, {**MADE, "onnx": False}).resume()
    (tmp_path / "index.json").write_text("[")
    assert not again.resume()
