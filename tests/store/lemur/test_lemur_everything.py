"""Export and import of all of LEMUR: `make test-lemur` (minutes, 2 GB of disk)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lemur_files import bring_in, files, tables, take_out
from test_lemur_export import members

from nngpt.store import Store

pytestmark = pytest.mark.lemur


def test_import_export_import_loses_nothing_of_everything(
    mirror: Store, wheel: Path, tmp_path: Path
) -> None:
    report = bring_in(mirror, wheel, batch=40_000)
    assert (report.networks.new, report.transforms.new, report.files, report.rows.new) == (
        *(10_482, 202),
        *(105_447, 578_595),
    )
    assert (report.empty.new, report.refused.count, report.duplicates.count) == (13_375, 0, 0)
    take_out(mirror, tmp_path / "out")
    before, after = members(wheel, "nn", "transform", "metric", "stat"), files(tmp_path / "out")
    assert after.keys() == before.keys() and len(after) == 118_614
    changed = [name for name in before if after[name] != before[name]]
    assert len(changed) == 26, "laid out by another program"
    resorted = [name for name in changed if json.loads(before[name]) != json.loads(after[name])]
    assert len(resorted) == 2, "not sorted by accuracy"
    for name in resorted:
        one, other = (sorted(map(json.dumps, json.loads(f[name]))) for f in (before, after))
        assert one == other
    del before, after
    with Store.open(tmp_path / "again" / "nngpt.db") as again:
        bring_in(again, tmp_path / "out", batch=40_000)
        assert tables(again) == tables(mirror)
