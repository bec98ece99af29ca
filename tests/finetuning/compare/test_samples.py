"""The record: nothing is lost, nothing is done twice, wherever a kill may fall."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from command_line import ANSWERS
from comparison_samples import SETTING, arm, checked, sample, session

from nngpt import config
from nngpt.cycle.comparison import source_of
from nngpt.errors import UserError
from nngpt.finetuning.compare.arms import ComparedArm, make_arms, parse_arms, shared_settings
from nngpt.finetuning.compare.generation import Batch, missing_batches, unwritten, write_answers
from nngpt.finetuning.compare.judge import judge
from nngpt.finetuning.compare.records import (
    CHECK,
    FILE,
    ArmFacts,
    Line,
    Sample,
    SampleOutcome,
    Samples,
    SharedSettings,
    read_record,
)
from nngpt.finetuning.corpus.build_check import open_on_noise
from nngpt.generation.llm.scripted import ScriptedLLM
from nngpt.protocols import Executor
from nngpt.records import derive_seed

WANTED = 8
SETTINGS = config.load("smoke-mnist", ["evaluation.threads=1", "evaluation.workers=1"])


@pytest.fixture(scope="module")
def arms() -> list[ComparedArm]:
    options = parse_arms(["base", "again=base"])
    return make_arms(SETTINGS, options, [source_of(SETTINGS, "mnist")])


@pytest.fixture(scope="module")
def executor(arms: list[ComparedArm]) -> Iterator[Executor]:
    with open_on_noise(SETTINGS.evaluation, arms[0].readers["mnist"].task) as opened:
        yield opened


Compare = Callable[[Path], list[Line]]


@pytest.fixture(scope="module")
def compare(arms: list[ComparedArm], executor: Executor) -> Compare:
    """Writes and checks all that is missing in a folder, with the real sandbox."""

    def run(folder: Path) -> list[Line]:
        seeds = partial(derive_seed, 1)
        with Samples(folder) as record:
            record.agree(shared_settings(SETTINGS), [arm.facts for arm in arms])
            llm = ScriptedLLM(ANSWERS, batch_size=3)
            write_answers(record, arms, llm, WANTED, seeds, lambda *_: None)
            assert not unwritten(record, arms, WANTED)

            def opened(_: str) -> AbstractContextManager[Executor]:
                return nullcontext(executor)

            judge(record, arms, CHECK, ["mnist"], opened, WANTED, seeds, lambda *_: None)
            return list(record.lines)

    return run


@pytest.fixture(scope="module")
def whole(compare: Compare, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    compare(folder)
    return folder


def facts(lines: list[Line]) -> list[object]:
    """What must not depend on kills: no times, and not who ran first what others copied."""
    samples = [s for s in lines if isinstance(s, Sample)]
    outcomes = [replace(o, seconds=0, copied=False) for o in lines if isinstance(o, SampleOutcome)]
    return sorted([*map(repr, samples), *(repr(s.text) for s in samples), *map(repr, outcomes)])


def test_both_arms_get_the_same_seeds_and_copies_run_once(whole: Path) -> None:
    lines = read_record(whole)
    texts = [
        [s.text for s in lines if isinstance(s, Sample) and s.arm == a] for a in ("base", "again")
    ]
    assert len(texts[0]) == WANTED and texts[0] == texts[1]
    outcomes = [o for o in lines if isinstance(o, SampleOutcome)]
    ran = {o.run for o in outcomes if not o.copied}
    assert len(ran) == sum(not o.copied for o in outcomes), "each network ran once"
    fit = [s for s in lines if isinstance(s, Sample) and s.refusal is None]
    assert len(outcomes) == len(fit) > len(ran)


def test_killed_at_any_line(compare: Compare, whole: Path, tmp_path: Path) -> None:
    """Every other time a part of the line that was being written is on the disk."""
    lines = (whole / FILE).read_bytes().splitlines(keepends=True)
    for number in range(0, len(lines), 3):
        folder = tmp_path / str(number)
        folder.mkdir()
        torn = lines[number][: number % 2 * len(lines[number]) // 2]
        (folder / FILE).write_bytes(b"".join(lines[:number]) + torn)
        assert facts(compare(folder)) == facts(read_record(whole)), number
        assert (folder / FILE).read_bytes().startswith(b"".join(lines[:number]))


def test_done_is_done(compare: Compare, whole: Path) -> None:
    before = (whole / FILE).read_bytes()
    compare(whole)
    assert (whole / FILE).read_bytes() == before


def test_more_samples_are_new_batches() -> None:
    recorded = [replace(sample("base", i, "x"), batch=i // 3, size=3) for i in range(6)]
    assert list(missing_batches(recorded, 6, 4)) == []
    assert list(missing_batches(recorded, 11, 4)) == [Batch(2, 6, 4), Batch(3, 10, 1)]
    torn = recorded[:2] + recorded[3:]
    assert list(missing_batches(torn, 6, 4)) == [Batch(0, 0, 3)]


def test_lines_come_back_as_they_were(tmp_path: Path) -> None:
    lines: list[Line] = [
        SETTING,
        session("base", samples=2, how=CHECK, tasks=("mnist",)),
        arm("base"),
        replace(sample("base", 0, ""), text="\ud800\x00\u2028\n"),
        checked("base", 0, runs=False),
    ]
    with Samples(tmp_path) as record:
        record.append(lines)
    assert read_record(tmp_path) == lines


def test_settings_that_were_added_since_are_no_other_settings(tmp_path: Path) -> None:
    old, new = {"epochs": 1}, {"epochs": 1, "early_stop": False}
    with Samples(tmp_path) as record:
        record.agree(SharedSettings({"seed": 1, "evaluation": old}), [])
        record.agree(SharedSettings({"seed": 1, "evaluation": new}), [])
        with pytest.raises(UserError, match=r"evaluation.early_stop was False, is True"):
            record.agree(SharedSettings({"seed": 1, "evaluation": {**new, "early_stop": True}}), [])


def test_another_comparison_is_refused(tmp_path: Path) -> None:
    with Samples(tmp_path) as record:
        record.agree(SETTING, [arm("base")])
        record.agree(SETTING, [arm("base"), arm("tuned", adapter=True)])
        other = SharedSettings({**SETTING.settings, "seed": 2})
        with pytest.raises(UserError, match=r"other settings: seed was 1, is 2.*--out"):
            record.agree(other, [])
        with pytest.raises(UserError, match=r"'base' has changed: .*temperature was 0.5, is 0.9"):
            record.agree(SETTING, [arm("base", temperature=0.9)])
        with pytest.raises(UserError, match=r"'tuned' has changed: adapter was"):
            record.agree(SETTING, [arm("tuned")])
        assert [a.name for a in record.of(ArmFacts)] == ["base", "tuned"]


@pytest.mark.parametrize("line", ["nothing", '{"kind": "sample"}', '{"kind": "other"}', "[1]"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    with Samples(tmp_path) as record:
        record.append([SETTING])
    with (tmp_path / FILE).open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(UserError, match=r"samples.jsonl, line 2: is damaged"):
        Samples(tmp_path)
    (tmp_path / FILE).write_text("")
    with Samples(tmp_path) as record:
        assert record.lines == [], "and the folder is not locked"


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Samples(tmp_path), pytest.raises(UserError, match="another runner"):
        Samples(tmp_path)
