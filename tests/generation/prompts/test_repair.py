"""Repairs of refused answers: selection, order, prompt, and separate counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import ALSO_GOOD, CUT_OFF, GOOD, NO_LAYER, WEAK
from quick_runs import database, quick_run, write_answers
from store_samples import PROMPT, REFUSAL

from nngpt.cli.cycle import _show
from nngpt.finetuning.preferences import pair_answers, read_answers
from nngpt.generation.pairs import admitted_pairs
from nngpt.generation.prompts.repair import (
    first_answers,
    next_repair,
    refusal_message,
    repair_prompt,
)
from nngpt.records import Completion, Refusal, Stage, State
from nngpt.store import AttemptRecord, Lease, Store


def attempt(
    id: int, stage: Stage | None, repairs: int = 0, of: int | None = None, open: bool = False
) -> AttemptRecord:
    state = State.TRAINING if open else State.REFUSED if stage else State.ADMITTED
    refusal = Refusal(stage, "no") if stage else None
    text = Completion("x", "m", None, 1, 0, 1, 1, 1.0)
    facts = (None, None, None, None, refusal, None, 0, 0, "", "", repairs, of)
    return AttemptRecord(id, 1, 1, 0, id, state, "full", "p", text, *facts)


# ---------------------------------------------------------------- what is repaired, and when


def test_refusals_of_mistakes_are_repaired_in_order() -> None:
    first = [attempt(n, stage) for n, stage in enumerate([None, *Stage], 1)]
    repaired = list[AttemptRecord]()
    while (refused := next_repair([*first, *repaired], 1, ())) is not None:
        repaired.append(attempt(100 + refused.id, None, 1, refused.id))
    done = [first[repair.repaired_from - 1].refusal for repair in repaired if repair.repaired_from]
    assert [refusal.stage for refusal in done if refusal] == [
        *(Stage.PARSE, Stage.CONTRACT, Stage.SAFETY, Stage.BUILD, Stage.FORWARD, Stage.TRAIN)
    ]
    assert next_repair(first, 0, ()) is None
    assert first_answers([*first, *repaired]) == first


def test_second_repairs_wait_for_the_first() -> None:
    first = [attempt(1, Stage.PARSE), attempt(2, Stage.BUILD)]
    waits = attempt(3, None, open=True)
    assert next_repair([*first, waits], 2, ()) is None
    one, two = attempt(4, Stage.PARSE, 1, 1), attempt(5, Stage.TRAIN, 1, 2)
    assert next_repair([*first, replace(one, state=State.TRAINING)], 2, ()) == first[1]
    assert next_repair([*first, one, replace(two, state=State.TRAINING)], 2, ()) is None
    assert next_repair([*first, one, two], 1, ()) is None
    assert next_repair([*first, one, two], 2, ()) == one
    last = attempt(6, Stage.PARSE, 2, 4)
    assert next_repair([*first, one, two, last], 2, {5}) is None
    assert next_repair([*first], 2, {1}) == first[1], "one that was given up holds nobody up"


def test_the_llm_sees_its_answer_and_the_reason() -> None:
    refusal = Refusal(Stage.BUILD, "building failed: TypeError", "line 3\n<f at 0x7f0123abcd>")
    prompt = repair_prompt(PROMPT, "nn.Flaten()\n)\0\ud800", refusal)
    answer, told = prompt.messages[-2:]
    assert prompt.messages[:-2] == PROMPT.messages
    assert (answer.role, answer.content) == ("assistant", "nn.Sequential(nn.Flaten()\n)?")
    assert told.role == "user"
    assert told.content.startswith(
        "That answer was refused (build): building failed: TypeError\nline 3\n<f at 0x…>\n\n"
    )
    same = replace(prompt, messages=PROMPT.messages)
    assert same == PROMPT, "the beginning of the answer and its end stay"
    twice = repair_prompt(prompt, "again\n)", REFUSAL)
    assert [m.role for m in twice.messages[-4:]] == ["assistant", "user"] * 2
    assert "the same network as before" in refusal_message("delta", REFUSAL)
    long = Refusal(Stage.TRAIN, "no", "x" * 9_000)
    assert len(refusal_message("full", long)) < 2_500


# ---------------------------------------------------------------- runs


def outcome(folder: Path) -> list[tuple[object, ...]]:
    with Store.open(database(folder)) as store:
        return [
            (a.cycle, a.place, a.repairs, a.completion.text, a.state, a.content_hash, a.prompt_hash)
            for a in store.attempts(1)
        ]


TEXTS = (GOOD, ALSO_GOOD, WEAK, NO_LAYER, CUT_OFF, "8, 3),\n    nn.ReLU(x),\n)")
SETTINGS = ("candidates.per_cycle=6", "llm.batch_size=6")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, TEXTS)
    return tmp_path


def test_repairs_follow_the_first_answers_and_do_not_change_them(folder: Path) -> None:
    quick_run(folder, 1, *SETTINGS, "candidates.repairs=2", "candidates.overlap=false")
    one_by_one = outcome(folder)
    database(folder).unlink()
    quick_run(folder, 1, *SETTINGS, "candidates.repairs=2", "candidates.overlap=true")
    repaired = outcome(folder)
    assert repaired == one_by_one
    with Store.open(database(folder)) as store:
        attempts = {a.id: a for a in store.attempts(1)}
        repairs = [a for a in attempts.values() if a.repairs]
        assert [a.repairs for a in attempts.values()] == sorted(
            a.repairs for a in attempts.values()
        )
        assert [a.repairs for a in repairs].count(1) == 3, "parse twice, and build"
        for repair in repairs:
            refused = attempts[repair.repaired_from or 0]
            assert refused.refusal and refused.repairs == repair.repairs - 1
            asked = store.prompt(repair.prompt_hash).messages
            assert asked[-2].content.endswith(refused.completion.text)
            assert refused.refusal.reason in asked[-1].content
            assert len(asked) == 9 + 2 * repair.repairs
        again = [a.id for a in repairs if a.refusal and a.refusal.stage == Stage.DUPLICATE]
        assert not set(again) & {a.repaired_from for a in repairs}, "a copy is not repaired"
        (summary,) = store.summary(1)
        raw = (summary.generated, summary.valid, summary.refused)
        assert summary.repairs == len(repairs)
        assert summary.repairs_valid == sum(a.evaluation is not None for a in repairs)
    database(folder).unlink()
    quick_run(folder, 1, *SETTINGS)
    assert outcome(folder) == [row for row in repaired if row[2] == 0]
    with Store.open(database(folder)) as store:
        (summary,) = store.summary(1)
        assert (summary.generated, summary.valid, summary.refused) == raw
        assert summary.repairs == 0


def test_a_repaired_network_is_learned_as_if_written_at_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong answer with a correct repair: counts, training pair and tables."""
    write_answers(folder, (CUT_OFF,))
    settings = ["candidates.per_cycle=1", "llm.batch_size=1", "candidates.repairs=1"]

    def stop(*_: object) -> int:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Lease, "add_repair", stop)
        quick_run(folder, 1, *settings)
    # Another script, so that the repair is another text.
    write_answers(folder, (GOOD,))
    quick_run(folder, 1, *settings)
    with Store.open(database(folder)) as store:
        first, repair = store.attempts(1, with_code=True)
        assert (first.state, repair.state) == (State.REFUSED, State.ADMITTED)
        assert (repair.repairs, repair.repaired_from) == (1, first.id)
        (pair,) = admitted_pairs(store, store.admitted(1))
        assert (pair.prompt, pair.completion) == (store.prompt(first.prompt_hash), GOOD)
        (choice,) = pair_answers(read_answers(store, 1), 1, 1)
        assert choice.chosen.pair.prompt == choice.rejected.pair.prompt == pair.prompt
        adapter = store.adapter(1, 1)
        assert adapter is not None and adapter.pairs == 1
        (summary,) = store.summary(1)
        assert (summary.generated, summary.valid, summary.admitted) == (1, 0, 0)
        assert (summary.repairs, summary.repairs_valid, summary.repairs_admitted) == (1, 1, 1)
    capsys.readouterr()
    _show(folder / "runs", None, as_json=False)
    assert "1 of 1 valid" in " ".join(capsys.readouterr().out.split())
    _show(folder / "runs", None, as_json=True)
    told = json.loads(capsys.readouterr().out)["cycles"][0]
    assert told["repairs"] == {"written": 1, "valid": 1, "admitted": 1}
    assert (told["generated"], told["valid"], told["admitted"]) == (1, 0, 0)


def test_a_repair_prompt_that_is_too_long_is_skipped_and_logged(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_answers(folder, ("8, 3),\n    " + "nn.ReLU(), " * 40, CUT_OFF))
    settings = ["candidates.per_cycle=2", "llm.batch_size=2", "candidates.repairs=2"]
    quick_run(folder, 1, *settings, "prompt.shots=0", "prompt.max_chars=500")
    told = capsys.readouterr().err
    with Store.open(database(folder)) as store:
        first = first_answers(store.attempts(1))
        (long,) = (a for a in first if len(a.completion.text) > 100)
        assert f"#{long.id} is not repaired: too long for prompt.max_chars" in told
        assert {a.repaired_from for a in store.attempts(1)} & {a.id for a in first} == {
            a.id for a in first if a != long
        }


def test_sampling_until_enough_counts_first_answers_only(folder: Path) -> None:
    """If repairs counted, the third admitted network would be a repair."""
    write_answers(folder, (GOOD, ALSO_GOOD, CUT_OFF))
    settings = ["candidates.per_cycle=3", "candidates.until_admitted=3", "llm.batch_size=3"]
    settings += ["candidates.max_per_cycle=6"]
    quick_run(folder, 1, *settings, "candidates.repairs=1")
    repaired = outcome(folder)
    database(folder).unlink()
    quick_run(folder, 1, *settings)
    assert outcome(folder) == [row for row in repaired if row[2] == 0]
    assert [row[2] for row in repaired] == [0] * 6 + [1] * 2
