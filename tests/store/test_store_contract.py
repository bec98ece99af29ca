"""Contract of every store, tested through the public interface alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from store_samples import (
    NOVEL,
    PROMPT,
    REFUSAL,
    TASK,
    adapter,
    admit,
    bring_to_training,
    candidate,
    completion,
    evaluation,
    start,
    write,
)

from nngpt.errors import StoreError
from nngpt.generation.pairs import corpus_hash
from nngpt.records import Novelty, Prompt, Refusal, Retraining, Stage, State, TrainingPair
from nngpt.store import IllegalWriteError, Lease, Store, identity_hash, prompt_hash

RETRAINED = Retraining(0.75, 100, 8, 2.5, 1.5)


def test_run_is_found_again_until_archived(store: Store) -> None:
    assert store.current_run("demo") is None
    run = start(store, cycles=2)
    assert run.status == "active" and run.seed == 7
    assert run.config == {"name": "demo", "cycles": 2}
    assert run.identity == identity_hash({"name": "demo"})
    assert store.current_run("demo") == run == store.run("demo") == store.run(run.id)
    store.archive_run(run.id)
    assert store.current_run("demo") is None
    assert store.run("demo").status == "archived"


def test_archived_run_frees_its_name(store: Store) -> None:
    first = start(store)
    with pytest.raises(StoreError, match="exists"):
        start(store)
    store.archive_run(first.id)
    second = start(store)
    assert store.run("demo") == second
    assert [run.id for run in store.runs()] == [first.id, second.id]


def test_finished_run_is_still_current_and_can_be_reopened(store: Store) -> None:
    run = start(store)
    with store.lease(run.id) as lease:
        lease.finish_run()
    assert store.run("demo").status == "done"
    store.reopen_run(run.id)
    current = store.current_run("demo")
    assert current is not None and current.status == "active"


def test_unknown_run_suggests_the_nearest_name(store: Store) -> None:
    with pytest.raises(StoreError, match="There are no runs yet"):
        store.run("demo")
    start(store)
    with pytest.raises(StoreError, match="Did you mean 'demo'"):
        store.run("dema")
    for change in (store.reopen_run, store.archive_run, store.lease):
        with pytest.raises(StoreError):
            change(99)


def test_store_keeps_everything_when_reopened(path: Path) -> None:
    proxies = {"synflow": 2.5e30, "jacob_cov": None, "grad_norm": 0.25}
    measured = dataclasses.replace(evaluation(0.25, 0.5), claimed_proxies=proxies)
    with Store.open(path) as store, store.lease(start(store).id) as lease:
        [attempt] = write(lease)
        lease.parsed(attempt, candidate(transform="v2.Compose([v2.Normalize((0.5,), (0.5,))])"))
        lease.validated(attempt)
        lease.training(attempt)
        lease.trained(attempt, measured, TASK)
        lease.judged(attempt, NOVEL)
        lease.retraining(attempt)
        lease.admit(attempt, None, RETRAINED)
        before = store.attempt(attempt)
    with Store.open(path, create=False) as store:
        assert store.attempt(attempt) == before
    assert before.state is State.ADMITTED and before.mode == "features"
    assert before.completion == completion()
    assert before.candidate == candidate(transform="v2.Compose([v2.Normalize((0.5,), (0.5,))])")
    assert before.evaluation == measured
    assert before.novelty == NOVEL and before.refusal is None
    assert before.retraining == RETRAINED and before.retrainings == 1


def test_stopped_retraining_is_not_counted(store: Store) -> None:
    with store.lease(start(store).id) as lease:
        [attempt] = write(lease)
        with pytest.raises(IllegalWriteError, match="not judged"):
            lease.retraining(attempt)
        lease.parsed(attempt, candidate())
        lease.validated(attempt)
        lease.training(attempt)
        lease.trained(attempt, evaluation(0.5), TASK)
        lease.judged(attempt)
        lease.retraining(attempt)
        assert store.attempt(attempt).retrainings == 1
        lease.put_back(attempt)
    assert (store.attempt(attempt).retrainings, store.attempt(attempt).state) == (0, State.JUDGED)


def test_prompt_is_read_back_and_stored_once(store: Store) -> None:
    with store.lease(start(store).id) as lease:
        ids = [*write(lease), *write(lease, batch=1)]
    assert {store.attempt(i).prompt_hash for i in ids} == {prompt_hash(PROMPT)}
    assert store.prompt(prompt_hash(PROMPT)) == PROMPT
    other = dataclasses.replace(PROMPT, prefill="nn.Sequential(\n")
    assert prompt_hash(other) != prompt_hash(PROMPT)
    with pytest.raises(StoreError, match="no prompt"):
        store.prompt("f" * 64)


def test_prompt_hashes_match_older_databases(store: Store) -> None:
    """Runs that began before prompts had a parent can be resumed."""
    known = "785cf3b56c2b09739524b979572e29f2c4caedbe346ba60e18edcdd394082185"
    assert prompt_hash(PROMPT) == known
    learned = "8d9007389dc0b88b81aa811c480413169166bfb1fd148bffee3568a7d1f359cf"
    assert corpus_hash([TrainingPair(PROMPT, "x", "y")]) == learned
    changes = dataclasses.replace(PROMPT, mode="delta", parent="```python\nx = 1\n```")
    with store.lease(start(store).id) as lease:
        [attempt] = lease.add_completions(1, 0, changes, [completion()])
    assert store.prompt(store.attempt(attempt).prompt_hash) == changes


@pytest.mark.parametrize(
    "text",
    ["", "a\0b", "\ud800 lone", "half \udc80 pair", "\U0001f600", "ä\r\n\t", "'; DROP TABLE"],
)
def test_any_text_comes_back_unchanged(store: Store, text: str) -> None:
    with store.lease(start(store).id) as lease:
        prompt = Prompt("t", "h", "full", PROMPT.messages, prefill=text)
        [attempt] = lease.add_completions(1, 0, prompt, [completion(text=text)])
        lease.refuse(attempt, Refusal(Stage.PARSE, text, text))
    record = store.attempt(attempt)
    assert record.completion.text == text
    assert record.refusal == Refusal(Stage.PARSE, text, text)
    assert store.prompt(record.prompt_hash) == prompt


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_number_is_refused(store: Store, value: float) -> None:
    with store.lease(start(store).id) as lease:
        [attempt] = write(lease)
        bring_to_training(lease, attempt)
        with pytest.raises(IllegalWriteError, match="finite"):
            lease.trained(attempt, dataclasses.replace(evaluation(), seconds=value), TASK)
        assert store.attempt(attempt).state is State.TRAINING


def test_seed_over_64_bits_is_refused(store: Store) -> None:
    with pytest.raises(IllegalWriteError, match="too large"):
        store.start_run("demo", {}, {}, seed=2**63)


_STEPS: dict[str, Callable[[Lease, int], Any]] = {
    "parsed": lambda lease, i: lease.parsed(i, candidate()),
    "validated": lambda lease, i: lease.validated(i),
    "training": lambda lease, i: lease.training(i),
    "trained": lambda lease, i: lease.trained(i, evaluation(0.5), TASK),
    "judged": lambda lease, i: lease.judged(i, NOVEL),
    "admitted": lambda lease, i: lease.admit(i),
    "refused": lambda lease, i: lease.refuse(i, REFUSAL),
}


@pytest.mark.parametrize("reached", [None, *_STEPS])
def test_only_the_next_state_or_a_refusal_is_legal(store: Store, reached: str | None) -> None:
    names = list(_STEPS)
    done = names[: names.index(reached) + 1] if reached else []
    if reached == "refused":
        done = ["refused"]
    final = reached in ("admitted", "refused")
    legal = set() if final else {names[len(done)], "refused"}
    with store.lease(start(store).id) as lease:
        [attempt] = write(lease)
        for name in done:
            _STEPS[name](lease, attempt)
        state = store.attempt(attempt).state
        for name in set(names) - legal:
            with pytest.raises(IllegalWriteError, match="cannot become"):
                _STEPS[name](lease, attempt)
        assert store.attempt(attempt).state is state


def test_attempt_of_another_run_cannot_be_changed(store: Store) -> None:
    with store.lease(start(store, "one").id) as lease:
        [attempt] = write(lease)
    with store.lease(start(store, "two").id) as lease, pytest.raises(IllegalWriteError):
        lease.refuse(attempt, REFUSAL)
    with pytest.raises(StoreError, match="no attempt"):
        store.attempt(99)


def test_audit_trail(store: Store) -> None:
    with store.lease(start(store).id) as lease:
        [attempt] = write(lease)
        lease.parsed(attempt, candidate())
        lease.refuse(attempt, REFUSAL)
    steps = [(step.before, step.after, step.fence) for step in store.transitions(attempt)]
    assert steps == [
        (None, State.GENERATED, 1),
        (State.GENERATED, State.PARSED, 1),
        (State.PARSED, State.REFUSED, 1),
    ]


def test_batches_are_added_in_order_and_once(store: Store) -> None:
    run = start(store)
    with store.lease(run.id) as lease:
        write(lease, 2, batch=0)
        for wrong in (0, 2):
            with pytest.raises(IllegalWriteError, match=f"batch {wrong} given, 1 expected"):
                write(lease, batch=wrong)
        write(lease, 3, batch=1)
        with pytest.raises(IllegalWriteError, match="no completions"):
            write(lease, 0, batch=2)
        write(lease, 1, cycle=2)
    assert (store.batches(run.id, 1), store.batches(run.id, 2), store.batches(run.id, 3)) == (
        2,
        1,
        0,
    )
    assert [record.place for record in store.attempts(run.id, cycle=1)] == [0, 1, 2, 3, 4]
    assert [record.batch for record in store.attempts(run.id, cycle=1)] == [0, 0, 1, 1, 1]


def test_repairs_are_separate_attempts_and_counted_apart(store: Store) -> None:
    run = start(store)
    asked_again = dataclasses.replace(PROMPT, messages=(*PROMPT.messages, *PROMPT.messages))
    with store.lease(run.id) as lease:
        first, good = write(lease, 2)
        admit(lease, good)
        with pytest.raises(IllegalWriteError, match="no refused attempt"):
            lease.add_repair(first, asked_again, completion())
        lease.refuse(first, REFUSAL)
        repair = lease.add_repair(first, asked_again, completion())
        with pytest.raises(IllegalWriteError):
            lease.add_repair(first, asked_again, completion())
        assert store.batches(run.id, 1) == 1
        lease.refuse(repair, REFUSAL)
        again = lease.add_repair(repair, asked_again, completion())
        admit(lease, again, "class Repaired: pass\n")
        lease.skip_learning(1, "off")
        with pytest.raises(IllegalWriteError, match="no refused attempt"):
            lease.add_repair(again, asked_again, completion())
    records = store.attempts(run.id)
    assert [(r.batch, r.place, r.repairs, r.repaired_from) for r in records] == [
        (0, 0, 0, None),
        (0, 1, 0, None),
        (0, 2, 1, first),
        (0, 3, 2, repair),
    ]
    assert {store.question(record) for record in records} == {PROMPT}
    (summary,) = store.summary(run.id)
    assert (summary.generated, summary.parsed, summary.valid, summary.admitted) == (2, 1, 1, 1)
    assert summary.refused == {Stage.PARSE: 1} and summary.accuracies == (0.5,)
    assert (summary.repairs, summary.repairs_valid, summary.repairs_admitted) == (2, 1, 1)
    assert summary.seconds["generation"] == 2.0


@pytest.mark.parametrize("settings", [{}, {"constrain": False}, {"constrain": True}])
def test_summary_shows_whether_settings_were_constrained(
    store: Store, settings: dict[str, bool]
) -> None:
    run = start(store, sampling=settings)
    with store.lease(run.id) as lease:
        write(lease)
    (summary,) = store.summary(run.id)
    assert summary.constrained is settings.get("constrain", False)
    assert summary.how == ("constrained features" if summary.constrained else "features")


def test_code_is_admitted_once_per_run(store: Store) -> None:
    for name in ("one", "two"):
        with store.lease(start(store, name).id) as lease:
            first, second = write(lease, 2)
            admit(lease, first, "x = 1\n")
            bring_to_training(lease, second, "x  =  1\n")
            lease.trained(second, evaluation(0.5), TASK)
            lease.judged(second)
            with pytest.raises(IllegalWriteError):
                lease.admit(second)
            assert store.attempt(second).state is State.JUDGED
            assert [record.id for record in store.admitted(lease.run_id)] == [first]


def test_a_run_without_novelty_admits_copies(store: Store) -> None:
    with store.lease(start(store).id) as lease:
        first, second, third = write(lease, 3)
        for number in (first, second, third):
            bring_to_training(lease, number, "x = 1\n")
            lease.trained(number, evaluation(0.5), TASK)
            lease.judged(number)
            lease.admit(number, copies=True)
        assert [record.id for record in store.admitted(lease.run_id)] == [first, second, third]
    with Store.open(store.path) as again:  # each admission is found whole
        assert len(again.admitted(lease.run_id)) == 3


def test_code_keeps_its_white_space(store: Store) -> None:
    with store.lease(start(store).id) as lease:
        first, second = write(lease, 2)
        lease.parsed(first, candidate("if a:\n  b\n"))
        lease.parsed(second, candidate("if a:\n    b\n"))
    one, two = store.attempt(first), store.attempt(second)
    assert one.content_hash == two.content_hash
    assert one.candidate and one.candidate.code == "if a:\n  b\n"
    assert two.candidate and two.candidate.code == "if a:\n    b\n"


def test_known_hash_is_the_first_that_passed_the_gates_before_training(store: Store) -> None:
    known = candidate().content_hash
    run = start(store)
    with store.lease(run.id) as lease:
        unsafe, trained, doubled = write(lease, 3)
        lease.parsed(unsafe, candidate())
        lease.refuse(unsafe, Refusal(Stage.SAFETY, "os"))
        lease.parsed(trained, candidate())
        assert store.known_hash(run.id, known) is None
        lease.validated(trained)
        assert store.known_hash(run.id, known) == trained
        lease.refuse(trained, Refusal(Stage.BUILD, "no"))
        lease.parsed(doubled, candidate())
        lease.refuse(doubled, Refusal(Stage.DUPLICATE, f"same as {trained}"))
    assert store.known_hash(run.id, known) == trained
    assert store.known_hash(start(store, "other").id, known) is None


def test_filters(store: Store) -> None:
    run = start(store)
    with store.lease(run.id) as lease:
        good, bad, waiting = write(lease, 3)
        admit(lease, good)
        lease.refuse(bad, REFUSAL)
        [later] = write(lease, cycle=2)
        admit(lease, later, "class Other: pass\n")
    assert [r.id for r in store.attempts(run.id)] == [good, bad, waiting, later]
    assert [r.id for r in store.attempts(run.id, cycle=1, state=State.REFUSED)] == [bad]
    assert [r.id for r in store.open_attempts(run.id, 1)] == [waiting]
    assert [r.id for r in store.admitted(run.id)] == [good, later]
    assert [r.id for r in store.admitted(run.id, upto_cycle=1)] == [good]
    assert store.attempts(run.id)[0].candidate is None
    assert store.attempts(run.id, with_code=True)[0].candidate == candidate()


def test_adapters_and_closed_cycles(store: Store) -> None:
    run = start(store)
    with store.lease(run.id) as lease:
        for cycle in (1, 2, 3):
            [attempt] = write(lease, cycle=cycle)
            lease.refuse(attempt, REFUSAL)
        lease.add_adapter(1, adapter("c1"))
        lease.skip_learning(2, "no pairs")
        with pytest.raises(IllegalWriteError, match="closed already"):
            lease.add_adapter(2, adapter("c2"))
        with pytest.raises(IllegalWriteError, match="closed"):
            write(lease, cycle=1, batch=1)
        lease.add_adapter(3, adapter("c3", parent="c1"))
    assert [store.cycle_closed(run.id, cycle) for cycle in (1, 2, 3, 4)] == [
        True,
        True,
        True,
        False,
    ]
    assert store.adapters(run.id) == {1: adapter("c1"), 3: adapter("c3", "c1")}
    assert store.adapter(run.id, 2) is None
    assert store.last_adapter(run.id, before_cycle=1) is None
    assert store.last_adapter(run.id, before_cycle=3) == adapter("c1")
    assert store.last_adapter(run.id, before_cycle=4) == adapter("c3", "c1")


def test_adapter_names_are_never_reused(store: Store) -> None:
    for name in ("one", "two"):
        run = start(store, name)
        with store.lease(run.id) as lease:
            if name == "one":
                lease.add_adapter(1, adapter("same"))
            else:
                with pytest.raises(IllegalWriteError):
                    lease.add_adapter(1, adapter("same"))
        assert store.cycle_closed(run.id, 1) is (name == "one")


def test_open_attempts_keep_a_cycle_open(store: Store) -> None:
    run = start(store)
    with store.lease(run.id) as lease:
        write(lease)
        for close in (
            lambda: lease.skip_learning(1, "off"),
            lambda: lease.add_adapter(1, adapter("a")),
        ):
            with pytest.raises(IllegalWriteError, match="attempts that are not settled"):
                close()
    assert not store.cycle_closed(run.id, 1) and store.adapters(run.id) == {}


def test_summary_counts_first_answers_only(store: Store) -> None:
    run = start(store)
    with store.lease(run.id) as lease:
        good, unread, near, waiting = write(lease, 4)
        admit(lease, good)
        lease.refuse(unread, REFUSAL)
        bring_to_training(lease, near, "class B: pass\n")
        lease.trained(near, evaluation(0.1, 0.3), TASK)
        lease.judged(near)
        lease.refuse(near, Refusal(Stage.NOVELTY, "near"), Novelty(0.95, "x", True))
        lease.refuse(waiting, REFUSAL)
        lease.add_adapter(1, adapter("c1"))
        lease.add_completions(2, 0, PROMPT, [completion(adapter="c1")])
    first, second = store.summary(run.id)
    assert (first.generated, first.parsed, first.valid, first.admitted) == (4, 2, 2, 1)
    assert first.refused == {Stage.PARSE: 2, Stage.NOVELTY: 1}
    assert first.accuracies == (0.5, 0.3) and first.best and first.best.accuracy == 0.5
    assert first.mean == pytest.approx(0.4)
    assert first.seconds == {"generation": 2.0, "evaluation": 8.0, "learning": 9.0}
    assert (first.adapter, first.learned, first.closed, first.open) == (None, "c1", True, 0)
    assert (second.adapter, second.learned, second.closed, second.open) == ("c1", None, False, 1)
    assert second.mode == "features" and second.best is None and second.mean is None
    assert store.attempt(near).novelty == Novelty(0.95, "x", True)


def test_next_lease_puts_interrupted_training_back(store: Store) -> None:
    run = start(store)
    with store.lease(run.id) as lease:
        [attempt] = write(lease)
        bring_to_training(lease, attempt)
    assert store.attempt(attempt).state is State.TRAINING
    with store.lease(run.id) as lease:
        record = store.attempt(attempt)
        assert (record.state, record.restarts) == (State.VALIDATED, 1)
        assert store.transitions(attempt)[-1].fence == lease.fence == 2
        lease.training(attempt)


def test_one_runner_per_run(store: Store) -> None:
    run, other = start(store), start(store, "other")
    with store.lease(run.id), store.lease(other.id):
        with pytest.raises(StoreError, match="another runner"):
            store.lease(run.id)
        with pytest.raises(StoreError, match="another runner"):
            store.archive_run(run.id)
    store.lease(run.id).close()


def test_archived_run_cannot_be_leased(store: Store) -> None:
    run = start(store)
    store.archive_run(run.id)
    with pytest.raises(StoreError, match="archived"):
        store.lease(run.id)
    with pytest.raises(StoreError, match="archived"):
        store.reopen_run(run.id)


def test_training_stopped_by_the_user_is_put_back_uncounted(store: Store) -> None:
    with store.lease(start(store).id) as lease:
        (attempt,) = write(lease)
        bring_to_training(lease, attempt)
        lease.put_back(attempt)
        record = store.attempt(attempt)
        assert (record.state, record.restarts) == (State.VALIDATED, 0)
        with pytest.raises(IllegalWriteError):
            lease.put_back(attempt)
