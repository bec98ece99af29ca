"""Descriptions of arms, stages and states on the live page."""

from __future__ import annotations

from nngpt.records import Arm, Stage, State

ARMS = {
    Arm.LOOP: "the loop",
    Arm.BASE: "control: the LLM as before the run",
    Arm.CORPUS: "control: corpus networks changed at random",
}

STAGES = {
    Stage.PARSE: "no readable network",
    Stage.CONTRACT: "breaks the contract",
    Stage.SAFETY: "unsafe code",
    Stage.DUPLICATE: "exact copy",
    Stage.BUILD: "cannot be built",
    Stage.FORWARD: "forward pass fails",
    Stage.TRAIN: "training fails",
    Stage.JUDGE: "cannot be judged",
    Stage.THRESHOLD: "below the threshold",
    Stage.NOVELTY: "near-duplicate",
}

STATES = {
    State.GENERATED: "written",
    State.PARSED: "read",
    State.VALIDATED: "waiting for training",
    State.TRAINING: "in training",
    State.TRAINED: "trained",
    State.JUDGED: "judged",
    State.ADMITTED: "admitted",
    State.REFUSED: "refused",
}


def standing(state: State, stage: Stage | None) -> str:
    """Return a candidate's state, or the gate that refused it."""
    return f"refused at {stage}: {STAGES[stage]}" if stage else STATES[state]
