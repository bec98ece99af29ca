"""Candidates that speak on the result pipe themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hostile_samples import BLIND, PLACES, gains_nothing, hostile

from nngpt.records import Evaluation, Refusal, Stage

Attack = Callable[..., Evaluation | Refusal]

SAYS = """
import fcntl, json, os, struct
def say(kind, payload, length=None):
    data = struct.pack("<cI", kind, len(payload) if length is None else length) + payload
    for fd in range(3, 256):
        try:
            if fcntl.fcntl(fd, fcntl.F_GETFL) & 3 != os.O_WRONLY: continue
        except OSError: continue
        view = memoryview(data)
        while view: view = view[os.write(fd, view):]
def fact(**facts): say(b"J", json.dumps(facts).encode())
"""
PHASES = """
fact(phase="forward"); fact(phase="setup", parameters=1)
fact(phase="learn", epoch=1); fact(phase="answer", epoch=1, batches=20)
"""
LOGITS = 'say(b"L", struct.pack("<4f", 9, 0, 0, 0) * 97)\n'


def test_a_whole_forged_conversation_is_worth_a_guess(attack: Attack) -> None:
    """Logits of the right length, before any training: they cannot know the order."""
    result = attack(hostile("import", SAYS + PHASES + LOGITS, BLIND))
    assert isinstance(result, Evaluation), result
    assert gains_nothing(result)
    assert result.epochs[0].total == 97


def test_what_comes_after_the_last_answer_is_not_heard(attack: Attack) -> None:
    more = LOGITS + 'fact(accuracy=1.0)\nsay(b"P", b"x" * 9999)\n'
    result = attack(hostile("import", SAYS + PHASES + LOGITS + more, BLIND))
    assert gains_nothing(result)


def test_early_logits_are_the_answer(attack: Attack) -> None:
    early = 'fact(phase="answer", epoch=1, batches=20)\n' + LOGITS
    assert gains_nothing(attack(hostile("learn", SAYS + early, BLIND)))


def test_two_answers_for_one_epoch_are_refused(attack: Attack) -> None:
    early = 'fact(phase="answer", epoch=1, batches=20)\n' + 2 * LOGITS
    result = attack(hostile("learn", SAYS + early, BLIND), epochs=2)
    assert isinstance(result, Refusal)
    assert result.reason == "broke the result protocol"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "frames",
    [
        LOGITS,
        'say(b"L", b"", 2**32 - 1)',
        'say(b"J", b"{", 1 << 20)',
        'say(b"P", b"pickle")',
        'say(b"J", b"[" * 60_000)',
        'say(b"J", b"[]")',
        'say(b"J", b"{}")',
        'say(b"J", b"9" * 60_000)',
        r'say(b"J", b"\xff\xfe")',
        'fact(phase="answer", epoch=9)',
        'fact(phase="done", accuracy=1.0)',
        'fact(phase="setup", parameters=-1)',
        "fact(accuracy=1.0, correct=97)",
        "fact(of=10**400, batches=1)",
        "fact(of=20, batches=21)",
        'say(b"J", b"", 0)',
    ],
)
def test_a_frame_out_of_place_is_refused(attack: Attack, frames: str, place: str) -> None:
    result = attack(hostile(place, SAYS + frames, BLIND))
    assert isinstance(result, Refusal)
    assert (result.stage, result.reason) == (Stage.JUDGE, "broke the result protocol")


def test_half_a_frame_and_silence_are_no_result(attack: Attack) -> None:
    frames = 'say(b"J", b"", 60_000)\nos._exit(0)'
    result = attack(hostile("learn", SAYS + frames, BLIND))
    assert isinstance(result, Refusal)
    assert result.reason == "ended without a result (exit code 0)"


def test_a_claimed_failure_is_told_in_clean_words(attack: Attack) -> None:
    frames = r'fact(error="\x1b[31mE" * 999, message="\x07\u202e" + "b" * 9999, memory="yes")'
    result = attack(hostile("learn", SAYS + frames, BLIND))
    assert isinstance(result, Refusal)
    assert result.reason.startswith("training failed: 31mE31mE")


def test_a_closed_pipe_is_no_result(attack: Attack) -> None:
    result = attack(hostile("learn", "import os; os.closerange(3, 256)", BLIND))
    assert isinstance(result, Refusal)
    assert result.stage == Stage.TRAIN
