"""Candidates that write frames to the result pipe."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hostile_samples import BLIND, everywhere, gains_nothing, hostile

from nngpt.records import Evaluation, Refusal, Stage

Attack = Callable[..., Evaluation | Refusal]
Attacks = Callable[..., dict[str, Evaluation | Refusal]]

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


def test_a_complete_forged_protocol_scores_like_guessing(attack: Attack) -> None:
    """Its logits have the right length, but the order of the images is secret."""
    result = attack(hostile("import", SAYS + PHASES + LOGITS, BLIND))
    assert isinstance(result, Evaluation), result
    assert gains_nothing(result)
    assert result.epochs[0].total == 97


def test_frames_after_the_last_answer_are_ignored(attack: Attack) -> None:
    more = LOGITS + 'fact(accuracy=1.0)\nsay(b"P", b"x" * 9999)\n'
    result = attack(hostile("import", SAYS + PHASES + LOGITS + more, BLIND))
    assert gains_nothing(result)


def test_early_logits_gain_nothing(attack: Attack) -> None:
    early = 'fact(phase="answer", epoch=1, batches=20)\n' + LOGITS
    assert gains_nothing(attack(hostile("learn", SAYS + early, BLIND)))


def test_two_answers_for_one_epoch_are_refused(attack: Attack) -> None:
    early = 'fact(phase="answer", epoch=1, batches=20)\n' + 2 * LOGITS
    result = attack(hostile("learn", SAYS + early, BLIND), epochs=2)
    assert isinstance(result, Refusal)
    assert result.reason == "broke the result protocol"


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
def test_an_unexpected_frame_is_refused(attacks: Attacks, frames: str) -> None:
    for result in attacks(everywhere(SAYS + frames, BLIND)).values():
        assert isinstance(result, Refusal)
        assert (result.stage, result.reason) == (Stage.JUDGE, "broke the result protocol")


def test_an_incomplete_frame_is_no_result(attack: Attack) -> None:
    frames = 'say(b"J", b"", 60_000)\nos._exit(0)'
    result = attack(hostile("learn", SAYS + frames, BLIND))
    assert isinstance(result, Refusal)
    assert result.reason == "ended without a result (exit code 0)"


def test_the_text_of_a_claimed_failure_is_cleaned(attack: Attack) -> None:
    frames = r'fact(error="\x1b[31mE" * 999, message="\x07\u202e" + "b" * 9999, memory="yes")'
    result = attack(hostile("learn", SAYS + frames, BLIND))
    assert isinstance(result, Refusal)
    assert result.reason.startswith("training failed: 31mE31mE")


def test_a_closed_pipe_is_no_result(attack: Attack) -> None:
    result = attack(hostile("learn", "import os; os.closerange(3, 256)", BLIND))
    assert isinstance(result, Refusal)
    assert result.stage == Stage.TRAIN
