"""The report of a run: self-contained, escaped, valid for poor runs, and its files."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from command_line import run_nngpt
from report_samples import HOSTILE, confirm, network, study, three_arms
from store_samples import admit, start, write

from nngpt.records import Refusal, Stage
from nngpt.reports.analysis.refusals import kind
from nngpt.reports.analysis.study import StudySetting, read_study
from nngpt.reports.charts import PALETTE, image_files, page_svg, rc
from nngpt.reports.run.page import Report, report
from nngpt.reports.run.plots.catalog import KINDS
from nngpt.reports.sheets import csv_text
from nngpt.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:Column-expression-level unary distinct")
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """Checks that tags close in order; gathers ids, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open += [] if tag in VOID else [tag]
        values = {name: value or "" for name, value in attrs}
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values[k] for k in ("href", "src", "xlink:href", "srcset") if k in values]
        assert not any(name.startswith("on") for name in values)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(text: str) -> Page:
    """The page, which loads nothing and runs nothing."""
    page = Page(text)
    assert page.open == [] and not page.tags & {"script", "img", "iframe", "link", "object"}
    assert len(page.ids) == len(set(page.ids))
    assert all(link[1:] in page.ids for link in page.links if link[0] == "#")
    assert all(link.startswith("#") for link in page.links)
    assert "http://" not in text and "https://" not in text
    assert "@import" not in text and "url(//" not in text
    return page


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Three arms, confirmations, costs, and a corpus with a hostile name."""
    with Store.open(tmp_path_factory.mktemp("full") / "nngpt.db") as store:
        run = three_arms(store)
        confirm(store, run)
        return report(study(store, run, **{HOSTILE: network(2)}), best=3, command="nngpt …")


def test_page_is_self_contained_and_escaped(full: Report) -> None:
    page = checked(full.page)
    assert HOSTILE in page.text  # as text: the code, the corpus' name, the reason of the end
    assert "The run ended before its last cycle" in page.text
    assert "Alarm in cycle 2: collapse." in page.text
    assert "1 of 3" in page.text and "τ-b is 1 if the first epoch" in page.text
    assert page.text.count("figures/") == 10
    assert "UTC · written by nngpt" in page.text  # without a time: the same rows, the same page


def test_words_follow_the_intervals(full: Report) -> None:
    said = " ".join(full.verdict)
    assert "In 3 cycles the loop wrote 12 networks for cifar10: 83% [55–95]" in said
    assert (
        "Against the control “frozen LLM” the loop is better: mean accuracy of all answers +21.2"
        in said
    )
    assert "Against the control “no LLM” there is no evidence of a difference" in said
    assert "Loop minus frozen LLM so far, at any time: +21.2 points [" in said
    assert said.count("(12 and 6): no difference is shown.") == 2
    assert "The first epoch ranks networks as full training does more often" in said


def test_figures_follow_the_theme_and_stack_on_narrow_pages(full: Report) -> None:
    figures = re.findall('<svg aria-hidden="true".*?</svg>', full.page, re.DOTALL)
    whole = [one for one in figures if 'class="column"' not in one]
    assert len(whole) == 10
    for drawn in whole:
        colours = set(re.findall(r": (#\w{6})\b", drawn))
        assert not colours or "novelty-figure_1" in drawn, "only viridis is the same in both themes"
        assert "var(--text)" in drawn and "var(--card)" in drawn
    columns = Counter(re.findall('<use href="#([a-z]+)-figure_1"/>', full.page))
    assert columns == {"trajectory": 2, "gates": 3, "pareto": 2, "novelty": 4, "costs": 3}
    light = dict(re.findall("--c([0-7]):(#\\w{6})", full.page.partition("@media")[0]))
    assert [light[str(n)] for n in range(8)] == [colour.lower() for colour in PALETTE]


def test_figures_are_images_and_the_same_twice(full: Report, tmp_path: Path) -> None:
    assert len(full.figures) == 20
    for name, data in full.figures.items():
        assert data.startswith(b"\x89PNG\r\n" if name.endswith(".png") else b"%PDF-"), name
        assert b"CreationDate" not in data and b"Matplotlib" not in data
    with Store.open(tmp_path / "nngpt.db") as store:
        run = three_arms(store)
        confirm(store, run)
        again = study(store, run, **{HOSTILE: network(2)})
    with rc():
        drawn = {kind.name: kind.draw(again) for kind in KINDS}
        for name, figure in drawn.items():
            assert page_svg(figure, name) in full.page, name
        for name, data in image_files(drawn["novelty"], "novelty").items():
            assert data == full.figures[name], name


def test_tables_read_back(full: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(full.tables["cycles.csv"])))
    assert len(rows) == 9
    assert (rows[0]["arm"], rows[0]["written"], rows[0]["trained"]) == ("loop", "4", "3")
    assert float(rows[0]["valid"]) == 0.75
    leads = list(csv.DictReader(io.StringIO(full.tables["leads.csv"])))
    assert [(row["minus"], row["cycle"]) for row in leads[:3]] == [("base", n) for n in "123"]
    reached = next(csv.DictReader(io.StringIO(full.tables["reached.csv"])))
    assert (reached["arm"], reached["attempt"], reached["seconds"]) == ("loop", "2", "9.0")
    assert "Cost of an accuracy" in full.page
    ranking = next(csv.DictReader(io.StringIO(full.tables["ranking.csv"])))
    assert float(ranking["kendall_tau_b"]) == pytest.approx(1)
    networks = list(csv.DictReader(io.StringIO(full.tables["networks.csv"])))
    assert networks[1]["corpus_nearest"] == HOSTILE
    refusals = list(csv.DictReader(io.StringIO(full.tables["refusals.csv"])))
    assert list(refusals[0]) == ["arm", "cycle", "stage", "reason", "count"]
    assert sum(int(r["count"]) for r in refusals if r["arm"] == "loop") == 3
    assert "Refused, by reason" in full.page


def test_reasons_that_differ_in_numbers_and_names_are_one_kind() -> None:
    shapes = "mat1 and mat2 shapes cannot be multiplied (64x{} and 256x10)"
    kinds = {kind(Stage.FORWARD, shapes.format(n)) for n in (128, 512)}
    assert kinds == {"mat1 and mat2 shapes cannot be multiplied (… and …)"}
    assert kind(Stage.TRAIN, "used more than its 97.4 CPU seconds").endswith("its … CPU seconds")
    assert kind(Stage.BUILD, "NameError: name 'foo' is not defined").endswith(
        "name … is not defined"
    )
    assert kind(Stage.NOVELTY, "Jaccard similarity 0.951 to attempt 7") == (
        kind(Stage.NOVELTY, "Jaccard similarity 1.000 to net-3")
    )


def test_formulas_are_text_in_csv() -> None:
    text = csv_text([{"name": "=cmd|' /C calc'!A0", "value": -1.5}])
    assert list(csv.reader(io.StringIO(text)))[1] == ["'=cmd|' /C calc'!A0", "-1.5"]


def test_poor_runs_have_a_page_too(tmp_path: Path) -> None:
    setting = StudySetting("cifar10", 0.4)
    with Store.open(tmp_path / "nngpt.db") as store:
        run = start(store, "poor")
        empty = report(read_study(store, run, setting))
        with store.lease(run.id) as lease:
            written = write(lease, 3)
            lease.refuse(written[0], Refusal(Stage.PARSE, "not Python"))
            refused = report(read_study(store, run, setting))
    for found in (empty, refused):
        assert "The run is not finished" in checked(found.page).text
    assert empty.figures == {} and empty.tables == {}
    assert "The loop has written nothing yet." in empty.verdict
    assert "2 networks are not judged yet" in refused.warnings[1]
    assert 'id="controls"' not in refused.page and "Controls</a>" not in refused.page
    assert "trajectory.png" in refused.figures and "accuracies.png" not in refused.figures


def test_command_writes_and_refuses_politely(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with Store.open(tmp_path / "runs" / "nngpt.db") as store:
        config = {"name": "demo", "learning": {"corpus": "gone.jsonl"}}
        run = store.start_run("../we ird", config, {}, seed=7)
        with store.lease(run.id) as lease:
            admit(lease, write(lease)[0])
    done = run_nngpt(tmp_path, ["cycle", "report", "--json"])
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    target = tmp_path / "runs" / "reports" / "we-ird-1"
    page = (target / "report.html").read_text()
    assert "The run is not finished" in checked(page).text and "No control arm was run" in page
    assert {"gates.pdf", "accuracies.png"} <= {f.name for f in (target / "figures").iterdir()}
    assert {tmp_path / name for name in said["files"]} == {
        f for f in target.rglob("*") if f.is_file()
    }
    assert any("gone.jsonl" in note for note in said["warnings"])
    (tmp_path / "file").write_text("")
    for arguments, why in (
        (["nobody"], "no run 'nobody'"),
        (["--out", "file"], "is a file"),
        (["--folder", "elsewhere"], "no runs here"),
    ):
        wrong = run_nngpt(tmp_path, ["cycle", "report", *arguments])
        assert wrong.returncode == 2 and why in wrong.stderr and "Traceback" not in wrong.stderr
