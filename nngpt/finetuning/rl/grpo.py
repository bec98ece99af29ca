"""GRPO through TRL: our own prompt, sampling and executions; TRL's loss and its trainer.

TRL renders and generates nothing: `rollout_func` gives it the token ids of the one renderer
(`nngpt.generation.models.chat`) and those that `TransformersLLM` sampled, with their rewards.
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
from nngpt.finetuning.checkpoints import durable, newest_checkpoint, step_of
from nngpt.finetuning.lora import check_settings, start_of
from nngpt.finetuning.rl.executions import Executions
from nngpt.finetuning.rl.journal import Journal, StepRecord, describe
from nngpt.finetuning.rl.judge import Judged, RewardJudge
from nngpt.finetuning.rl.shared_prompt import reading_prompt_once
from nngpt.finetuning.trainers import CHECKPOINTS, borrowed, common_arguments, on_one_gpu
from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.models import chat
from nngpt.generation.models.adapters import save_adapter
from nngpt.generation.models.loading import clear_memory
from nngpt.records import Adapter, Completion, Prompt, Sampling, canonical_json, derive_seed


class Watch(Protocol):
    """Shown while it runs."""

    def doing(self, what: str) -> None:
        """What is going on now."""

    def step(self, record: StepRecord) -> None:
        """A step is over."""


@dataclass
class Run:
    """What GRPO works with.

    Attributes:
        config: its sections `rl`, `learning` and `sampling`, and the seed.
        llm: who writes, and whose base is trained; without an adapter.
        prompt: what is asked in every step.
        judge: says what an answer is worth.
        executions: counts what was really executed.
        folder: where checkpoints and journal lie, and the adapter comes to lie.
        name: of the adapter.
        parent: the adapter to start from, None for a new one on the bare base.
        settings: what the adapter's lineage says of how it was made.
    """

    config: Config
    llm: TransformersLLM
    prompt: Prompt
    judge: RewardJudge
    executions: Executions
    folder: Path
    name: str
    parent: Adapter | None
    settings: Mapping[str, Any]


def learn(run: Run, watch: Watch) -> Adapter:
    """Take all steps that are not done yet, and write the adapter.

    Raises:
        LearningFailed: the loss diverged.
        ModelError: the parent does not fit, or memory is not enough.
        ExecutionError: the sandbox itself does not work.
    """
    return _Training(run, watch).run()


class _Training:
    def __init__(self, run: Run, watch: Watch) -> None:
        self._run, self._watch, self._rl = run, watch, run.config.rl
        self._journal = Journal(run.folder)
        self._sampling = Sampling(**run.config.sampling.model_dump())
        self._step = _StepSoFar()

    def run(self) -> Adapter:
        run, base = self._run, self._run.llm.base
        check_settings(run.config.learning, base)
        checkpoint = newest_checkpoint(run.folder / CHECKPOINTS)
        self._journal.cut(step_of(checkpoint) // self._rl.iterations if checkpoint else 0)
        trainer = self._trainer()
        with borrowed(base, trainer), self._writing_with(trainer.model):
            with clear_memory("rl.batch_size", "Lower it, or set learning.gradient_checkpointing."):
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            return self._save(trainer.model)

    @contextmanager
    def _writing_with(self, model: Any) -> Iterator[None]:
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
            return reading_prompt_once(durable(GRPOTrainer))(
                **start_of(run.config.learning, base, run.parent),
                reward_funcs=[_column(name) for name in run.judge.weights],
                args=self._arguments(),
                train_dataset=Dataset.from_dict({"prompt": [asked] * self._rl.groups}),
                processing_class=base.tokenizer,
                rollout_func=self._answers,
                callbacks=[self._after_step()],
            )

    def _arguments(self) -> Any:
        from trl import GRPOConfig

        run, rl, sampling = self._run, self._rl, self._sampling
        seed = derive_seed(run.config.seed, "rl")
        arguments = GRPOConfig(
            **common_arguments(run.config.learning, run.llm.base, run.folder, seed),
            max_steps=rl.steps * rl.iterations,
            num_generations=rl.group_size,
            per_device_train_batch_size=rl.batch_size,
            gradient_accumulation_steps=rl.groups * rl.group_size // rl.batch_size,
            num_iterations=rl.iterations,
            learning_rate=rl.learning_rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=rl.warmup_steps * rl.iterations,
            beta=rl.beta,
            epsilon=rl.clip,
            scale_rewards=rl.scale,
            reward_weights=list(run.judge.weights.values()),
            temperature=sampling.temperature,
            max_completion_length=sampling.max_new_tokens,
            save_steps=rl.checkpoint_every * rl.iterations,
            ignore_data_skip=True,
            logging_steps=rl.iterations,
        )
        return on_one_gpu(arguments)

    # ------------------------------------------------------------------ one step

    def _answers(self, prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
        """What TRL calls a rollout: token ids, and what each answer earned, term by term."""
        number = trainer.state.global_step // self._rl.iterations + 1
        self._step = step = _StepSoFar(number, executed_before=self._run.executions.executed)
        self._watch.doing(f"the LLM writes {len(prompts)} networks")
        written = self._write(trainer.model, number, len(prompts))
        step.lap("generation")
        size = self._rl.group_size
        completions = [completion for completion, _ in written]
        self._watch.doing("networks train")
        groups = [completions[i : i + size] for i in range(0, len(completions), size)]
        step.groups = self._run.judge.judge(groups)
        step.lap("execution")
        self._watch.doing("the LLM learns")
        tokenizer = self._run.llm.base.tokenizer
        asked = chat.encode(tokenizer, chat.render(tokenizer, self._run.prompt))
        earned = [judged.rewards for group in step.groups for judged in group]
        return {
            "prompt_ids": [asked] * len(written),
            "completion_ids": [ids for _, ids in written],
            "logprobs": None,
            **{_key(n): [rewards[n] for rewards in earned] for n in self._run.judge.weights},
        }

    def _write(self, model: Any, step: int, count: int) -> list[tuple[Completion, list[int]]]:
        """The answers of a step, in batches that the LLM writes best. Raises: LearningFailed."""
        llm, seed = self._run.llm, self._run.config.seed
        model.eval()
        written: list[tuple[Completion, list[int]]] = []
        while len(written) < count:
            size = min(llm.batch_size, count - len(written))
            drawn = derive_seed(seed, "rl", step, len(written))
            with _diverging():
                written += llm.sample(self._run.prompt, size, drawn, self._sampling)
        model.train()
        return written

    def _after_step(self) -> Any:
        from transformers import TrainerCallback

        training = self

        class AfterStep(TrainerCallback):  # type: ignore[misc]
            def on_log(
                self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any
            ) -> None:
                if logs and "loss" in logs:
                    training._record(logs)

        return AfterStep()

    def _record(self, measured: Mapping[str, float]) -> None:
        """The step is over: into the journal with it. Raises: LearningFailed."""
        step = self._step
        step.lap("update")
        if not (math.isfinite(measured["loss"]) and math.isfinite(measured["grad_norm"])):
            raise _diverged()
        executed = self._run.executions.executed - step.executed_before
        record = describe(step.number, step.groups, executed, measured, step.seconds)
        self._journal.add(record, step.groups)
        self._watch.step(record)

    def _save(self, model: Any) -> Adapter:
        """The adapter with its lineage; the frozen copy of where it started is left out."""
        run, steps = self._run, self._journal.steps
        if "ref" in model.peft_config:
            model.delete_adapter("ref")
        answers = self._journal.answers()
        adapter = Adapter(
            name=f"{run.name}-{steps[-1].step}",
            path="",
            base=run.llm.base.name,
            base_digest=run.llm.base.digest,
            parent=run.parent.name if run.parent else None,
            corpus_hash=self._journal.digest(),
            pairs=len(answers),
            tokens=sum(answer.tokens for answer in answers) * self._rl.iterations,
            loss_first=steps[0].loss,
            loss_last=steps[-1].loss,
            seconds=sum(sum(step.seconds.values()) for step in steps),
            settings=canonical_json({**run.settings, "steps": steps[-1].step}),
        )
        return save_adapter(model, adapter, run.folder / "adapter")


@dataclass
class _StepSoFar:
    """The step in hand; `lap` adds the time since the last one to a part of it."""

    number: int = 0
    executed_before: int = 0
    groups: list[list[Judged]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)

    def lap(self, part: str) -> None:
        now = time.monotonic()
        self.seconds[part] = now - self.since
        self.since = now


@contextmanager
def _diverging() -> Iterator[None]:
    """A model whose logits are not finite cannot be sampled from. Raises: LearningFailed."""
    try:
        yield
    except RuntimeError as error:
        if "probability tensor" in str(error):
            raise _diverged() from None
        raise


def _diverged() -> LearningFailed:
    return LearningFailed("the loss diverged", where="rl.learning_rate", hint="Lower it.")


def _key(term: str) -> str:
    return f"reward {term}"


def _column(term: str) -> Callable[..., list[float]]:
    """A reward function for TRL that hands out what the judge has found."""

    def paid(**given: Any) -> list[float]:
        return list(given[_key(term)])

    paid.__name__ = term
    return paid
