"""Preference learning: rate and pair a run's answers, and train an adapter with DPO or KTO (TRL).

Admitted answers are good. Answers refused for their own faults are bad: unreadable, against the
contract, unsafe, not built, not trained, or below the threshold. Duplicates and near-duplicates are
neither, because the other copy may be a good answer.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nngpt.config import Config
from nngpt.errors import ConfigError, LearningFailed, UserError
from nngpt.files import append_lines
from nngpt.finetuning import trl_trainers
from nngpt.finetuning.lora import check_settings, load_training_base, overridden, trainer_start
from nngpt.finetuning.training_folder import lock_folder, preference_settings, trained_adapter
from nngpt.generation.models import chat
from nngpt.generation.models.adapters import starting_adapter
from nngpt.generation.models.loading import LoadedBase, clear_memory
from nngpt.generation.pairs import pair_as_written
from nngpt.protocols import Log
from nngpt.records import (
    Adapter,
    Arm,
    Prompt,
    Stage,
    State,
    TrainingPair,
    canonical_json,
    derive_seed,
)
from nngpt.store import AttemptRecord, Store, prompt_hash

STEPS = "steps.jsonl"
_SAVE_EVERY = 10
"""Steps between checkpoints."""

_NEITHER = frozenset({Stage.DUPLICATE, Stage.NOVELTY})


@dataclass(frozen=True)
class RatedAnswer:
    """An answer of a run, rated good or bad.

    Attributes:
        pair: its prompt and raw text, since good and bad ones must not differ by our formatting.
        good: True if admitted, False if refused.
    """

    pair: TrainingPair
    good: bool


@dataclass(frozen=True)
class AnswerPair:
    """A better (`chosen`) and a worse answer (`rejected`) to the same prompt."""

    chosen: RatedAnswer
    rejected: RatedAnswer


def read_answers(store: Store, run_id: int) -> list[RatedAnswer]:
    """Return a run's admitted (good) and refused (bad) answers, in the order of writing.

    Raises: UserError if there are no good answers, or no bad ones.
    """
    rated = ((attempt, _is_good(attempt)) for attempt in store.attempts(run_id, arm=Arm.LOOP))
    found = [
        RatedAnswer(pair_as_written(store, attempt), good)
        for attempt, good in rated
        if good is not None
    ]
    _check_both_kinds(found, f"{store.path}, run {run_id}")
    return found


def pair_answers(answers: Sequence[RatedAnswer], rivals: int, seed: int) -> list[AnswerPair]:
    """Pair each good answer with `rivals` bad ones to its prompt, using all equally often.

    Args:
        rivals: maximum number of bad answers for each good one.
        seed: seed of the choice and of the order of the pairs.

    Raises: UserError if no prompt has both a good and a bad answer.
    """
    bad: defaultdict[Prompt, list[RatedAnswer]] = defaultdict(list)
    for answer in answers:
        if not answer.good:
            bad[answer.pair.prompt].append(answer)
    draw = random.Random(seed)
    for rejected in bad.values():
        draw.shuffle(rejected)
    pairs = []
    for chosen in (answer for answer in answers if answer.good and bad[answer.pair.prompt]):
        deck = bad[chosen.pair.prompt]
        count = min(rivals, len(deck))
        pairs += [AnswerPair(chosen, rejected) for rejected in deck[:count]]
        deck[:] = deck[count:] + deck[:count]
    if not pairs:
        raise UserError(
            "no prompt of this run has both an admitted and a refused answer",
            hint="Use KTO, which needs no pairs: --method kto.",
        )
    draw.shuffle(pairs)
    return pairs


def hash_answers(answers: Sequence[RatedAnswer]) -> str:
    """Return the sha256 of rated answers in their order, for the adapter's lineage."""
    found = hashlib.sha256()
    for answer in answers:
        pair = answer.pair
        facts = [prompt_hash(pair.prompt), pair.completion, pair.finished, answer.good]
        found.update(canonical_json(facts).encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def tokenize_answer(tokenizer: Any, answer: RatedAnswer) -> tuple[list[int], list[int]]:
    """Return the token ids of a rated answer's prompt and of its text, from the one renderer."""
    prompt = chat.encode(tokenizer, chat.render(tokenizer, answer.pair.prompt))
    return prompt, chat.encode_answer(tokenizer, answer.pair)


def _is_good(attempt: AttemptRecord) -> bool | None:
    """Return True for admitted, False for refused; None for unsettled attempts and duplicates."""
    if attempt.state is State.ADMITTED:
        return True
    if attempt.refusal is None or attempt.refusal.stage in _NEITHER:
        return None
    return False


def _check_both_kinds(answers: Sequence[RatedAnswer], where: str) -> None:
    good = sum(answer.good for answer in answers)
    if good in (0, len(answers)):
        raise UserError(
            f"nothing to compare: {good} admitted and {len(answers) - good} refused answers"
            " (duplicates count as neither)",
            where=where,
            hint="Run more cycles, or choose another run with --run.",
        )


@dataclass(frozen=True)
class PreferenceStep:
    """Record of one DPO or KTO step, a line of `steps.jsonl`.

    Attributes:
        step: number of the step, from 1.
        steps: total number of steps.
        loss: mean loss of the batch.
        margin: growth in log-probability of good answers minus that of bad ones, times
            `preference.beta`, mean of the batch; None for a KTO batch with only one kind.
        accuracy: share of pairs with a positive margin; DPO only.
    """

    step: int
    steps: int
    loss: float
    margin: float | None
    accuracy: float | None

    def __str__(self) -> str:
        margin = "" if self.margin is None else f", margin {self.margin:+.3f}"
        accuracy = "" if self.accuracy is None else f", pairs in order {self.accuracy:.0%}"
        return f"step {self.step} of {self.steps}: loss {self.loss:.4f}{margin}{accuracy}"


OnPreferenceStep = Callable[[PreferenceStep], None]


def find_or_train(
    config: Config,
    method: str,
    answers: Sequence[RatedAnswer],
    name: str,
    folder: Path,
    fresh: bool,
    log: Log,
) -> Adapter:
    """Return the adapter of a DPO or KTO training; train it if its folder has none yet.

    Args:
        method: "dpo" or "kto".
        name: name of the adapter.
        folder: folder of the training; created if missing.
        fresh: start over, and keep the old training in a subfolder.

    Raises: UserError if no answers can be paired, or the training began with other settings;
    else as `PreferenceLearner.dpo` and `kto`.
    """
    parent, digest = starting_adapter(config), hash_answers(answers)
    settings = preference_settings(config, parent, method, digest)
    draw = derive_seed(config.seed, "pairs")
    pairs = pair_answers(answers, config.preference.rivals, draw) if method == "dpo" else []
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder, settings, fresh):
        known = trained_adapter(folder, 1)
        if known is not None:
            return known
        good = sum(answer.good for answer in answers)
        log(f"{good} admitted and {len(answers) - good} refused answers")
        base = load_training_base(config.learning, config.llm)
        log(f"  {base.facts}")
        if ignored := overridden(config.learning, parent):
            log(f"  {ignored}")
        learner = PreferenceLearner(config, base, folder, name, parent, digest, settings)

        def on_step(step: PreferenceStep) -> None:
            log(f"  {step}")

        return learner.dpo(pairs, on_step) if pairs else learner.kto(answers, on_step)


@dataclass
class PreferenceLearner:
    """Trains one adapter with DPO or KTO on a run's good and bad answers.

    Attributes:
        config: configuration; its sections `preference`, `learning` and its seed are used.
        folder: folder of checkpoints, log and adapter.
        parent: adapter to continue from, None for a new one.
        digest: hash of the answers.
        settings: settings recorded in the adapter's lineage.
    """

    config: Config
    base: LoadedBase
    folder: Path
    name: str
    parent: Adapter | None
    digest: str
    settings: Mapping[str, Any]

    def dpo(self, pairs: Sequence[AnswerPair], on_step: OnPreferenceStep) -> Adapter:
        """Train with DPO to prefer the admitted answer of each pair.

        Raises:
            LearningFailed: no pair fits `learning.max_length`, or the loss diverged.
            ModelError: the parent belongs to another base, or memory is not enough.
        """
        from trl import DPOConfig, DPOTrainer

        rows = self._drop_long([dpo_row(self.base.tokenizer, pair) for pair in pairs])
        return self._train(DPOTrainer, DPOConfig, rows, {}, on_step)

    def kto(self, answers: Sequence[RatedAnswer], on_step: OnPreferenceStep) -> Adapter:
        """Train with KTO: admitted answers are desirable, refused ones undesirable.

        The rarer kind has a larger weight, so that both kinds count the same.

        Raises:
            ConfigError: `learning.batch_size` is 1.
            LearningFailed: no answer fits `learning.max_length`, or the loss diverged.
            ModelError: the parent belongs to another base, or memory is not enough.
        """
        from trl import KTOConfig, KTOTrainer

        size = self.config.learning.batch_size
        if size < 2:
            hint = "Set it to 2 or more."
            raise ConfigError(
                "KTO compares the answers of a batch", where="learning.batch_size", hint=hint
            )
        rows = self._drop_long([kto_row(self.base.tokenizer, answer) for answer in answers])
        good = sum(row["label"] for row in rows)
        bad = len(rows) - good
        if not good or not bad:
            raise self._too_long()
        weights = {"desirable_weight": max(1, bad / good), "undesirable_weight": max(1, good / bad)}
        return self._train(KTOTrainer, KTOConfig, with_kl(rows, size), weights, on_step)

    def _drop_long(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows within `learning.max_length`. Raises: LearningFailed if none is left."""
        most = self.config.learning.max_length
        fit = [row for row in rows if len(row["prompt_ids"]) + max(_answer_lengths(row)) <= most]
        if not fit:
            raise self._too_long()
        return fit

    def _too_long(self) -> LearningFailed:
        where = f"learning.max_length: {self.config.learning.max_length}"
        return LearningFailed("none of the answers fits", where=where)

    def _train(
        self,
        trainer_class: type[Any],
        arguments_class: type[Any],
        rows: list[dict[str, Any]],
        more: Mapping[str, Any],
        on_step: OnPreferenceStep,
    ) -> Adapter:
        """Train with a TRL trainer class from the newest checkpoint, and save the adapter."""
        from datasets import Dataset

        check_settings(self.config.learning, self.base)
        checkpoint, step = trl_trainers.newest_checkpoint(self.folder)
        log = _StepLog(self.folder / STEPS, step, on_step)
        trainer = _keep_dataset(trl_trainers.atomic_checkpoints(trainer_class))(
            **trainer_start(self.config.learning, self.base, self.parent),
            args=self._arguments(arguments_class, more),
            train_dataset=Dataset.from_list(rows),
            processing_class=self.base.tokenizer,
            callbacks=[trl_trainers.step_callback(log.add)],
        )
        started = time.monotonic()
        with trl_trainers.borrow_base(self.base, trainer):
            with clear_memory("learning.batch_size", "Lower it, or set gradient_checkpointing."):
                trainer.train(resume_from_checkpoint=checkpoint)
            return self._save(trainer.model, rows, log.steps, time.monotonic() - started)

    def _arguments(self, arguments_class: type[Any], more: Mapping[str, Any]) -> Any:
        learning, preference = self.config.learning, self.config.preference
        return trl_trainers.trainer_arguments(
            arguments_class,
            learning,
            self.base,
            self.folder,
            derive_seed(self.config.seed, "preference"),
            num_train_epochs=preference.epochs,
            per_device_train_batch_size=learning.batch_size,
            gradient_accumulation_steps=learning.accumulation,
            learning_rate=preference.learning_rate,
            lr_scheduler_type=learning.schedule,
            warmup_steps=preference.warmup_steps,
            beta=preference.beta,
            max_length=None,
            save_steps=_SAVE_EVERY,
            logging_steps=1,
            **more,
        )

    def _save(
        self,
        model: Any,
        rows: Sequence[Mapping[str, Any]],
        steps: Sequence[PreferenceStep],
        seconds: float,
    ) -> Adapter:
        tokens = sum(sum(_answer_lengths(row)) for row in rows)
        return trl_trainers.save_trained(
            model,
            self.folder,
            self.base,
            self.parent,
            name=self.name,
            corpus_hash=self.digest,
            pairs=len(rows),
            tokens=tokens * self.config.preference.epochs,
            loss_first=steps[0].loss,
            loss_last=steps[-1].loss,
            seconds=seconds,
            settings=canonical_json({**self.settings, "steps": len(steps)}),
        )


def dpo_row(tokenizer: Any, pair: AnswerPair) -> dict[str, Any]:
    """Return the token ids of a pair of answers, in the format of TRL's DPO trainer."""
    prompt, chosen = tokenize_answer(tokenizer, pair.chosen)
    _, rejected = tokenize_answer(tokenizer, pair.rejected)
    return {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}


def kto_row(tokenizer: Any, answer: RatedAnswer) -> dict[str, Any]:
    """Return a rated answer's token ids and label, in the format of TRL's KTO trainer."""
    prompt, ids = tokenize_answer(tokenizer, answer)
    return {"prompt_ids": prompt, "completion_ids": ids, "label": answer.good}


def _answer_lengths(row: Mapping[str, Any]) -> list[int]:
    """Return the tokens of each answer in a row of DPO or KTO."""
    answers = ("chosen_ids", "rejected_ids", "completion_ids")
    return [len(row[key]) for key in answers if key in row]


def with_kl(rows: Sequence[Mapping[str, Any]], size: int) -> list[dict[str, Any]]:
    """Add to each row of KTO its batch neighbour's answer, to estimate the KL divergence."""
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [
        {**row, "KL_completion_ids": batch[place - 1]["completion_ids"]}
        for batch in batches
        for place, row in enumerate(batch)
    ]


def _keep_dataset(trainer: type[Any]) -> type[Any]:
    """Return a subclass of a TRL trainer that does not render or tokenise its data set."""

    class PreparedDatasetTrainer(trainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    return PreparedDatasetTrainer


class _StepLog:
    """Writes a line for each step and reports it; deletes lines of steps that will be repeated.

    Attributes:
        steps: recorded steps, in order.
    """

    def __init__(self, file: Path, step: int, on_step: OnPreferenceStep) -> None:
        self._file, self._on_step = file, on_step
        lines = file.read_text(encoding="utf-8").splitlines()[:step] if file.exists() else []
        self.steps = [PreferenceStep(**json.loads(line)) for line in lines]
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def add(self, state: Any, measured: Mapping[str, Any]) -> None:
        """Record a step, given the trainer's state and figures. Raises: LearningFailed."""
        loss = float(measured["loss"])
        if not math.isfinite(loss):
            where, hint = "preference.learning_rate", "Lower it."
            raise LearningFailed("the loss diverged", where=where, hint=hint)
        margin, accuracy = measured.get("rewards/margins"), measured.get("rewards/accuracies")
        record = PreferenceStep(state.global_step, state.max_steps, loss, margin, accuracy)
        append_lines(self._file, [json.dumps(asdict(record)).encode()])
        self.steps.append(record)
        self._on_step(record)
