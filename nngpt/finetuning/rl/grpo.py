"""Train an adapter with GRPO: nngpt's prompt, sampling and executions; TRL's loss and trainer.

TRL renders and generates nothing: `rollout_func` gives it the prompt's token ids from the one
renderer (`nngpt.generation.models.chat`), the ids that `TransformersLLM` sampled, and the rewards.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from nngpt.config import Config
from nngpt.errors import LearningFailed
from nngpt.finetuning import trl_trainers
from nngpt.finetuning.lora import check_settings, trainer_start
from nngpt.finetuning.rl.execution_cache import ExecutionCache
from nngpt.finetuning.rl.journal import Journal, StepRecord, step_record
from nngpt.finetuning.rl.scoring import AnswerScorer, ScoredAnswer
from nngpt.finetuning.rl.shared_prompt import share_prompt
from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.models import chat
from nngpt.generation.models.loading import clear_memory
from nngpt.records import Adapter, Completion, Prompt, Sampling, canonical_json, derive_seed


class RLProgressListener(Protocol):
    """Receives the progress of a GRPO training."""

    def doing(self, activity: str) -> None:
        """Report the current activity."""

    def step(self, record: StepRecord) -> None:
        """Report a finished step."""


@dataclass
class GRPORun:
    """Inputs of a GRPO training.

    Attributes:
        config: configuration; its sections `rl`, `learning`, `sampling` and its seed are used.
        llm: the LLM that writes, whose base is trained; it must have no adapter.
        executions: cache of executions, which counts them.
        folder: folder of checkpoints, journal and adapter.
        name: name of the adapter, without the number of steps.
        parent: adapter to continue from; None for a new adapter on the bare base.
        settings: settings recorded in the adapter's lineage.
    """

    config: Config
    llm: TransformersLLM
    prompt: Prompt
    scorer: AnswerScorer
    executions: ExecutionCache
    folder: Path
    name: str
    parent: Adapter | None
    settings: Mapping[str, Any]


def train(run: GRPORun, listener: RLProgressListener) -> Adapter:
    """Train with GRPO: take all steps that are not done yet, and write the adapter.

    Raises:
        LearningFailed: the loss diverged.
        ModelError: the parent belongs to another base, or memory is not enough.
        ExecutionError: the sandbox itself does not work.
    """
    return _Training(run, listener).run()


class _Training:
    """One GRPO training: sets up TRL's trainer and supplies its rollouts."""

    def __init__(self, run: GRPORun, listener: RLProgressListener) -> None:
        self._run, self._listener, self._rl = run, listener, run.config.rl
        self._journal = Journal(run.folder)
        self._sampling = Sampling(**run.config.sampling.model_dump())
        self._step = _CurrentStep()

    def run(self) -> Adapter:
        """Train from the newest checkpoint, and save the adapter."""
        run, base = self._run, self._run.llm.base
        check_settings(run.config.learning, base)
        checkpoint, step = trl_trainers.newest_checkpoint(run.folder)
        self._journal.truncate(step // self._rl.iterations)
        trainer = self._trainer()
        with trl_trainers.borrow_base(base, trainer), self._writing_with(trainer.model):
            with clear_memory("rl.batch_size", "Lower it, or set learning.gradient_checkpointing."):
                trainer.train(resume_from_checkpoint=checkpoint)
            return self._save(trainer.model)

    @contextmanager
    def _writing_with(self, model: Any) -> Iterator[None]:
        """Let the LLM write with the model in training, within the context."""
        llm = self._run.llm
        llm.write_with(model, self._run.name)
        try:
            yield
        finally:
            llm.write_with(llm.base.model, None)

    def _trainer(self) -> Any:
        from datasets import Dataset
        from trl import GRPOTrainer

        run, base = self._run, self._run.llm.base
        asked = chat.render(base.tokenizer, run.prompt)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You are using 'rollout_func'", UserWarning)
            return share_prompt(trl_trainers.atomic_checkpoints(GRPOTrainer))(
                **trainer_start(run.config.learning, base, run.parent),
                reward_funcs=[_reward_function(name) for name in run.scorer.weights],
                args=self._arguments(),
                train_dataset=Dataset.from_dict({"prompt": [asked] * self._rl.groups}),
                processing_class=base.tokenizer,
                rollout_func=self._rollouts,
                callbacks=[trl_trainers.step_callback(lambda _, figures: self._record(figures))],
            )

    def _arguments(self) -> Any:
        from trl import GRPOConfig

        run, rl, sampling = self._run, self._rl, self._sampling
        return trl_trainers.trainer_arguments(
            GRPOConfig,
            run.config.learning,
            run.llm.base,
            run.folder,
            derive_seed(run.config.seed, "rl"),
            max_steps=rl.steps * rl.iterations,
            num_generations=rl.group_size,
            per_device_train_batch_size=rl.batch_size,
            gradient_accumulation_steps=rl.groups * rl.group_size // rl.batch_size,
            num_iterations=rl.iterations,
            learning_rate=rl.learning_rate,
            lr_scheduler_type="constant",
            warmup_steps=rl.warmup_steps * rl.iterations,
            beta=rl.beta,
            epsilon=rl.clip,
            scale_rewards=rl.scale,
            reward_weights=list(run.scorer.weights.values()),
            temperature=sampling.temperature,
            max_completion_length=sampling.max_new_tokens,
            save_steps=rl.checkpoint_every * rl.iterations,
            ignore_data_skip=True,
            logging_steps=rl.iterations,
        )

    def _rollouts(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        """Return a step's rollouts for TRL: token ids, and each answer's rewards by term."""
        number = trainer.state.global_step // self._rl.iterations + 1
        self._step = step = _CurrentStep(number, executed_before=self._run.executions.executed)
        self._listener.doing(f"writing {len(prompts)} networks")
        written = self._write(trainer.model, number, len(prompts))
        step.lap("generation")
        size = self._rl.group_size
        completions = [completion for completion, _ in written]
        self._listener.doing("training networks")
        groups = [completions[i : i + size] for i in range(0, len(completions), size)]
        step.groups = self._run.scorer.score(groups)
        step.lap("execution")
        self._listener.doing("updating the LLM")
        tokenizer = self._run.llm.base.tokenizer
        asked = chat.encode(tokenizer, chat.render(tokenizer, self._run.prompt))
        rewards = [scored.rewards for group in step.groups for scored in group]
        return {
            "prompt_ids": [asked] * len(written),
            "completion_ids": [ids for _, ids in written],
            "logprobs": None,
            **{f"reward {n}": [values[n] for values in rewards] for n in self._run.scorer.weights},
        }

    def _write(self, model: Any, step: int, count: int) -> list[tuple[Completion, list[int]]]:
        """Sample a step's answers with their token ids, in batches. Raises: LearningFailed."""
        llm, seed = self._run.llm, self._run.config.seed
        model.eval()
        written: list[tuple[Completion, list[int]]] = []
        while len(written) < count:
            size = min(llm.batch_size, count - len(written))
            batch_seed = derive_seed(seed, "rl", step, len(written))
            with _catch_divergence():
                written += llm.sample(self._run.prompt, size, batch_seed, self._sampling)
        model.train()
        return written

    def _record(self, measured: Mapping[str, float]) -> None:
        """Record the finished step in the journal. Raises: LearningFailed."""
        step = self._step
        step.lap("update")
        if not (math.isfinite(measured["loss"]) and math.isfinite(measured["grad_norm"])):
            raise _diverged()
        executed = self._run.executions.executed - step.executed_before
        record = step_record(step.number, step.groups, executed, measured, step.seconds)
        self._journal.add(record, step.groups)
        self._listener.step(record)

    def _save(self, model: Any) -> Adapter:
        run, steps = self._run, self._journal.steps
        answers = self._journal.answers()
        return trl_trainers.save_trained(
            model,
            run.folder,
            run.llm.base,
            run.parent,
            name=f"{run.name}-{steps[-1].step}",
            corpus_hash=self._journal.digest(),
            pairs=len(answers),
            tokens=sum(answer.tokens for answer in answers) * self._rl.iterations,
            loss_first=steps[0].loss,
            loss_last=steps[-1].loss,
            seconds=sum(sum(step.seconds.values()) for step in steps),
            settings=canonical_json({**run.settings, "steps": steps[-1].step}),
        )


@dataclass
class _CurrentStep:
    """The step in progress: its answers, and the wall time of each activity."""

    number: int = 0
    executed_before: int = 0  # networks trained before the step
    groups: list[list[ScoredAnswer]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)

    def lap(self, activity: str) -> None:
        """End an activity, and record its wall time."""
        now = time.monotonic()
        self.seconds[activity] = now - self.since
        self.since = now


@contextmanager
def _catch_divergence() -> Iterator[None]:
    """Turn the error of sampling from logits that are not finite into LearningFailed."""
    try:
        yield
    except RuntimeError as error:
        if "probability tensor" in str(error):
            raise _diverged() from None
        raise


def _diverged() -> LearningFailed:
    return LearningFailed("the loss diverged", where="rl.learning_rate", hint="Lower it.")


def _reward_function(term: str) -> Callable[..., list[float]]:
    """Return a reward function for TRL that reads a term's values from the rollouts."""

    def reward(**rollouts: Any) -> list[float]:
        return list(rollouts[f"reward {term}"])

    reward.__name__ = term
    return reward
