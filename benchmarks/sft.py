"""Measure the speed of fine-tuning and sampling against `Trainer` and `generate`.

OMP_NUM_THREADS=2 .venv/bin/python benchmarks/sft.py CORPUS.jsonl[.gz] [--model NAME] [--pairs 8]
    [--max-length 1024] [--steps 2] [--samples 4] [--tokens 48] [--checkpointing]

CORPUS is a file of `nngpt corpus build`. Both sides train on the same pairs, all of them in each
step, with the same LoRA weights in the same precision. The `Trainer` is used as a careful user
would: batches of `--batch` pairs padded to the longest, loss on the answers, logits over the
vocabulary for every token. Sampling is compared with `generate` for single samples (four of them),
and for all samples as one batch in which each row has its own prompt.

Utilisation is relative to a large matrix product on the same device in the model's dtype.
Operations are 4 per weight and token (forward, and backward through frozen weights) without
padding, the output layer for answer tokens only; in sampling 2 per weight and written token. Time
is CPU time of this process on a CPU (other programs do not count), wall time on CUDA.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import writing

from nngpt.config import LearningConfig, LLMConfig
from nngpt.finetuning.learners.sft import kernel_names, use_liger
from nngpt.finetuning.lora import with_adapter
from nngpt.finetuning.sft.checkpoint import Checkpoint
from nngpt.finetuning.sft.loop import TrainingLoop
from nngpt.finetuning.sft.packing import TokenizedPair, drop_long, tokenize
from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.models.loading import LoadedBase, load_base
from nngpt.generation.pairs import chat_pairs
from nngpt.records import Prompt, Sampling

IGNORED = -100
_ONE_BY_ONE = 4
"""Number of single samples: their speed does not depend on their number."""


@dataclass(frozen=True)
class Speed:
    """Measured speed.

    Attributes:
        answered: answer tokens trained on, or tokens written, per second.
        operations: floating-point operations of the model per second.
    """

    answered: float
    operations: float


def main() -> None:
    """Print speeds, ratios and utilisation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="JSONL file of nngpt corpus build")
    parser.add_argument("--model", default="smollm2-135m", help="base model")
    parser.add_argument("--pairs", type=int, default=8, help="pairs in a step")
    parser.add_argument("--batch", type=int, default=4, help="pairs in a padded batch")
    parser.add_argument("--max-length", type=int, default=1024, help="longest pair, in tokens")
    parser.add_argument("--row", type=int, default=2048, help="learning.tokens_per_batch")
    parser.add_argument("--steps", type=int, default=2, help="measured steps after a warm-up step")
    parser.add_argument("--samples", type=int, default=4, help="number of samples")
    parser.add_argument("--tokens", type=int, default=48, help="new tokens of a sample")
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations")
    given = parser.parse_args()
    base = load_base(LLMConfig(model=given.model, quantization="none"))
    use_liger(base.model)
    pairs = chat_pairs(given.corpus, "CORPUS")
    examples = drop_long(tokenize(base.tokenizer, pairs), given.max_length)[: given.pairs]
    peak = peak_speed(base)
    print(f"{date.today()}, {platform.machine()}, load {os.getloadavg()[0]:.1f}")
    print(f"{base.facts}{kernel_names(base.model.device.type)}, {torch.get_num_threads()} threads")
    print(f"a large matrix product: {peak / 1e12:.3f} TFLOP/s")
    tuning(base, examples, given, peak)
    sampling(base, pairs[0].prompt, given, peak)


def tuning(base: LoadedBase, examples: Sequence[TokenizedPair], given: Any, peak: float) -> None:
    """Print the speed of training with nngpt and with the `Trainer`."""
    answers = sum(len(e.answer) for e in examples)
    prompts = len({e.prompt for e in examples})
    print(
        f"a step of {len(examples)} pairs: {answers:,} answer tokens, {prompts} different prompts"
    )
    learning = LearningConfig(
        epochs=given.steps + 1,
        batch_size=len(examples),
        accumulation=1,
        dropout=0.0,
        tokens_per_batch=given.row,
        gradient_checkpointing=given.checkpointing,
    )
    plain = with_trainer(base, learning, examples, given.batch)
    ours = with_nngpt(base, learning, examples)
    print_speed("Trainer, padded batches, all logits", plain, peak)
    print_speed("nngpt, packed rows", ours, peak)
    print(f"  {ours.answered / plain.answered:.2f} × the answer tokens per second", flush=True)


def with_nngpt(
    base: LoadedBase, learning: LearningConfig, examples: Sequence[TokenizedPair]
) -> Speed:
    """Return the speed of the fastest step of nngpt's loop after the first."""
    with with_new_adapter(base, learning) as model, tempfile.TemporaryDirectory() as folder:
        times: list[float] = []
        loop = TrainingLoop(model, learning, "adamw", seed=1)
        checkpoint = Checkpoint(Path(folder) / "none", "", float("inf"))
        loop.run(examples, (), checkpoint, lambda _: times.append(clock(base)), print)
    seconds = min(after - before for before, after in pairwise(times[1:]))
    read = loop.points[-1].read - loop.points[-2].read
    answers = loop.points[-1].tokens - loop.points[-2].tokens
    return Speed(answers / seconds, operations(base, read, answers) / seconds)


def with_trainer(
    base: LoadedBase, learning: LearningConfig, examples: Sequence[TokenizedPair], batch: int
) -> Speed:
    """Return the speed of the fastest step of `transformers.Trainer` after the first."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(clock(base))

    cuda = base.model.device.type == "cuda"
    with with_new_adapter(base, learning) as model, tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=learning.epochs,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=-(-len(examples) // batch),
            learning_rate=learning.learning_rate,
            **({"gradient_checkpointing": True} if learning.gradient_checkpointing else {}),
            bf16=base.model.dtype == torch.bfloat16,
            use_cpu=not cuda,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=cuda,
            remove_unused_columns=False,
        )
        dataset = [{"ids": e.prompt + e.answer, "asked": len(e.prompt)} for e in examples]
        pad = base.tokenizer.pad_token_id
        Trainer(
            model=model,
            args=arguments,
            train_dataset=dataset,
            data_collator=lambda rows: padded(rows, pad),
            callbacks=[Clock()],
        ).train()
    seconds = min(after - before for before, after in pairwise(times))
    tokens, answers = sum(e.length for e in examples), sum(len(e.answer) for e in examples)
    return Speed(answers / seconds, operations(base, tokens, answers) / seconds)


def padded(rows: Sequence[dict[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """Return ids, labels and mask [b, longest] of a padded batch."""
    longest = max(len(row["ids"]) for row in rows)
    ids = torch.full((len(rows), longest), pad)
    labels = torch.full((len(rows), longest), IGNORED)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, row in enumerate(rows):
        tokens, asked = torch.tensor(row["ids"]), row["asked"]
        ids[i, : len(tokens)], mask[i, : len(tokens)] = tokens, 1
        labels[i, asked : len(tokens)] = tokens[asked:]
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def sampling(base: LoadedBase, prompt: Prompt, given: Any, peak: float) -> None:
    """Print the speed of sampling with nngpt and with `generate`."""
    llm = TransformersLLM(base, given.samples)
    few = min(given.samples, _ONE_BY_ONE)
    llm.generate(prompt, 1, 0, Sampling(max_new_tokens=2))
    one = written(base, partial(writing.with_generate, llm, prompt), given, [1] * few)
    batched = written(base, partial(writing.with_generate, llm, prompt), given, [given.samples])
    shared = written(base, partial(writing.with_nngpt, llm, prompt), given, [given.samples])
    print(f"{given.samples} samples of at most {given.tokens} new tokens")
    print_speed(f"generate, {few} one at a time", one, peak)
    print_speed("generate, one batch", batched, peak)
    print_speed("nngpt, one pass over the prompt", shared, peak)
    print(
        f"  {shared.answered / one.answered:.2f} × one at a time, "
        f"{shared.answered / batched.answered:.2f} × one batch, in tokens per second"
    )


def written(
    base: LoadedBase, write: Callable[[int, Sampling], int], given: Any, batches: Sequence[int]
) -> Speed:
    """Write batches of these sizes, and return the speed; answers may end early."""
    settings = Sampling(temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=given.tokens)
    started = clock(base)
    tokens = sum(write(count, settings) for count in batches)
    seconds = clock(base) - started
    return Speed(tokens / seconds, operations(base, tokens, tokens) / 2 / seconds)


@contextmanager
def with_new_adapter(base: LoadedBase, learning: LearningConfig) -> Any:
    """Yield the base with a new adapter, and remove the adapter afterwards."""
    model = with_adapter(learning, base, None, seed=1)
    try:
        yield model
    finally:
        base.model = model.unload()


def operations(base: LoadedBase, tokens: int, answers: int) -> float:
    """Return 4 operations per weight and token, without attention; the output layer for answers."""
    head = base.model.get_output_embeddings().weight.numel()
    embedding = base.model.get_input_embeddings().weight.numel()
    tied = base.model.get_output_embeddings().weight is base.model.get_input_embeddings().weight
    layers = base.model.num_parameters() - head - (0 if tied else embedding)
    return 4.0 * (layers * tokens + head * answers)


def peak_speed(base: LoadedBase) -> float:
    """Return the operations per second of a large matrix product, the best of eight."""
    size = 8192 if base.model.device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=base.model.device) for _ in range(2))
    a, b = a.to(base.model.dtype), b.to(base.model.dtype)
    times = []
    for _ in range(8):
        started = clock(base)
        a @ b
        times.append(clock(base) - started)
    return 2.0 * size**3 / min(times)


def clock(base: LoadedBase) -> float:
    """Return the time in seconds, after all GPU work has finished."""
    if base.model.device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def print_speed(what: str, speed: Speed, peak: float) -> None:
    """Print one line of the table."""
    share = speed.operations / peak
    print(f"  {what:36} {speed.answered:9,.1f} tokens/s, utilisation {share:.1%}", flush=True)


if __name__ == "__main__":
    main()
