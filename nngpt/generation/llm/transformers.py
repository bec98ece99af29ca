"""LLM backend `transformers`: a model in this process, with LoRA adapters."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nngpt.config import LLMConfig
from nngpt.generation.models import chat, constrained
from nngpt.generation.models.adapters import check_adapter
from nngpt.generation.models.constrained import Grammars, load_xgrammar
from nngpt.generation.models.cpu_attention import fast_cpu_attention
from nngpt.generation.models.early_states import early_states
from nngpt.generation.models.loading import LoadedBase, clear_memory, load_base
from nngpt.records import Adapter, Completion, Prompt, Sampling, TrainingPair

_SCORED = 2**28
"""Largest number of scores of tokens (float32) that `log_likelihoods` holds at once."""

_EMBEDDED = 2048
"""Tokens of a text that `embed` reads at most."""

_REMEMBERED = 10_000
"""Vectors that `embed` keeps, for texts that are asked for again."""


def create(config: LLMConfig) -> TransformersLLM:
    """Return the backend `transformers` with the configured model loaded. Raises: ModelError."""
    return TransformersLLM(load_base(config), config.batch_size)


class TransformersLLM:
    """Implements `nngpt.protocols.LLM` on a loaded base model.

    Attributes:
        base: the bare base model, shared with the learner (`nngpt.protocols.SharesBase`).
        on_completion: see `nngpt.protocols.TellsCompletions`.
    """

    on_completion: Callable[[Completion], None] | None = None

    def __init__(self, base: LoadedBase, batch_size: int) -> None:
        self.base, self.batch_size = base, batch_size
        self.model, self.facts = base.name, base.facts
        self._adapter: Adapter | None = None
        self._name: str | None = None
        self._writer: Any = base.model
        self._stopping = threading.Event()
        self._grammars: Grammars | None = None
        self._ends = self._end_tokens()
        self._pieces: dict[int, str] = {}
        self._embedded: dict[str, NDArray[np.float32]] = {}

    def generate(
        self, prompt: Prompt, count: int, seed: int, sampling: Sampling
    ) -> list[Completion]:
        """Sample `count` completions as one batch."""
        tell = None if sampling.constrain else self.on_completion  # else settings are missing

        def sample() -> list[Completion]:
            return [one for one, _ in self.sample(prompt, count, seed, sampling, tell=tell)]

        return constrained.generate(self, prompt, count, seed, sampling, sample)

    def generate_json(
        self, prompt: Prompt, schema: Mapping[str, Any], count: int, seed: int, sampling: Sampling
    ) -> list[Completion]:
        """Sample `count` completions that follow a JSON schema, as one batch."""
        if self._grammars is None:
            vocabulary = self.base.model.config.vocab_size
            self._grammars = Grammars(self.base.tokenizer, vocabulary, self._ends)
        constraint = self._grammars.processor(schema)
        sampled = self.sample(prompt, count, seed, sampling, constraint)
        return [completion for completion, _ in sampled]

    def check_json(self) -> None:
        """Check that xgrammar is installed. Raises: ModelError."""
        load_xgrammar()

    def sample(
        self,
        prompt: Prompt,
        count: int,
        seed: int,
        sampling: Sampling,
        constraint: Any = None,
        tell: Callable[[Completion], None] | None = None,
    ) -> list[tuple[Completion, list[int]]]:
        """Sample one batch; return each completion with its token ids.

        The ids end with the token that completes a stop string, or with the end token.

        Args:
            constraint: a logits processor of `transformers`.
            tell: called with each completion as soon as it ends.
        """
        import torch

        from nngpt.generation.models.sampling import sample_rows

        tokenizer = self.base.tokenizer
        ids = chat.encode(tokenizer, chat.render(tokenizer, prompt))
        inputs = torch.tensor([ids] * count, device=self.base.model.device)
        started = time.monotonic()
        torch.manual_seed(seed)

        def on_end(index: int, row: list[int]) -> None:
            if tell is not None:
                spent = (time.monotonic() - started) / count
                tell(self._completion(row, prompt, seed, index, len(ids), spent)[0])

        enough = clear_memory("llm.batch_size", "Lower it, with --fresh.")
        with torch.inference_mode(), fast_cpu_attention(self.base.model), enough:
            rows = sample_rows(
                self._writer,
                self._read_once(inputs[:1, :-1], count),
                inputs,
                sampling,
                partial(self._ended, prompt.stop),
                self._stopping.is_set,
                constraint,
                on_end,
            )
        seconds = (time.monotonic() - started) / count
        return [
            self._completion(row, prompt, seed, index, len(ids), seconds)
            for index, row in enumerate(rows)
        ]

    def log_likelihoods(self, prompt: Prompt, written: Sequence[Completion]) -> list[float]:
        """Return the log-probability of each text after a prompt, which is read once."""
        import torch

        tokenizer = self.base.tokenizer
        ids = chat.encode(tokenizer, chat.render(tokenizer, prompt))
        answers = [
            chat.encode_answer(tokenizer, TrainingPair(prompt, one.text, "", one.finished))
            for one in written
        ]
        longest = max(map(len, answers), default=0)
        fitting = _SCORED // max(1, longest * self.base.model.config.vocab_size)
        size = max(1, min(self.batch_size, fitting))
        found: list[float] = []
        enough = clear_memory("llm.batch_size", "Lower it, with --fresh.")
        with torch.inference_mode(), enough:
            for first in range(0, len(answers), size):
                if self._stopping.is_set():
                    return [0.0] * len(written)
                found += self._score(ids, answers[first : first + size])
        return found

    def _score(self, prompt: list[int], answers: list[list[int]]) -> list[float]:
        """Return the log-probability of each answer; padding comes last and does not count."""
        import torch

        device, longest = self.base.model.device, max(1, *map(len, answers))
        cache = self._read_once(torch.tensor([prompt[:-1]], device=device), len(answers))
        padded = [[prompt[-1], *row, *prompt[-1:] * (longest - len(row))] for row in answers]
        rows = torch.tensor(padded, device=device)
        output = self._writer(input_ids=rows[:, :-1], past_key_values=cache, use_cache=True)
        losses = torch.nn.functional.cross_entropy(
            output.logits.float().transpose(1, 2), rows[:, 1:], reduction="none"
        )
        counted = torch.arange(longest, device=device) < torch.tensor(
            [[len(row)] for row in answers], device=device
        )
        return [-loss for loss in (losses * counted).sum(1).tolist()]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the mean hidden state of each text's tokens [n, d] after a fifth of the layers.

        Early layers tell texts apart best (docs/decisions.md), and are read by the bare base. Each
        text is read alone, so that its vector does not depend on the others. Raises: ModelError.
        """
        found = []
        for text in texts:
            vector = self._embedded.pop(text, None)  # the last used are kept longest
            self._embedded[text] = self._embed(text) if vector is None else vector
            found.append(self._embedded[text])
        for text in list(self._embedded)[:-_REMEMBERED]:
            del self._embedded[text]
        return np.array(found, np.float64)

    def _embed(self, text: str) -> NDArray[np.float32]:
        import torch

        # The first token has a state of its own kind, so that none of the text's is the first.
        ids = [min(self._ends, default=0), *chat.encode(self.base.tokenizer, text)[:_EMBEDDED]]
        bare = self._writer.disable_adapter() if self._adapter else nullcontext()
        with torch.inference_mode(), bare:
            row = torch.tensor([ids], device=self.base.model.device)
            states = early_states(self.base.model, row)[0, 1:].float()
            return np.asarray((states.sum(0) / max(1, len(states))).cpu().numpy())

    def write_with(self, model: Any, name: str | None) -> None:
        """Generate with `model`: the base with an adapter in training, or the bare base again."""
        self._writer, self._name = model, name

    def room(self, prompt: Prompt, sampling: Sampling) -> int | None:
        """Return the tokens left free in the context, None if its length is unknown."""
        context: int | None = getattr(self.base.model.config, "max_position_embeddings", None)
        tokens = len(chat.encode(self.base.tokenizer, chat.render(self.base.tokenizer, prompt)))
        return None if context is None else context - tokens - sampling.max_new_tokens

    def use_adapter(self, adapter: Adapter | None) -> None:
        """Switch to `adapter`, or to the bare base (None), and unload the previous one.

        Raises: ModelError if the folder is missing, or the adapter belongs to another base.
        """
        if adapter == self._adapter:
            return
        if adapter is not None:
            check_adapter(adapter, self.base)
        if self._adapter is not None:
            self._writer.unload()
            self._writer, self._adapter, self._name = self.base.model, None, None
        if adapter is not None:
            from peft import PeftModel

            peft_model = PeftModel.from_pretrained(self.base.model, adapter.path)
            self._writer, self._adapter, self._name = peft_model.eval(), adapter, adapter.name

    def stop(self) -> None:
        """Make a running `generate` return after its current token."""
        self._stopping.set()

    def close(self) -> None:
        """Drop the reference to the model; the last reference frees its memory."""
        self._writer = None

    def _ended(self, stop: tuple[str, ...], row: list[int]) -> bool:
        """Return True if a row's last token is an end token or completes a stop string."""
        if row[-1] in self._ends:
            return True
        stop = tuple(s for s in stop if self._may_complete(row[-1], s[-1]))
        tail = row[-max(map(len, stop), default=0) - 4 :]
        return any(s in self._decode(tail) for s in stop)

    def _may_complete(self, token: int, character: str) -> bool:
        """Return True if a token may contain `character`; spares decoding most tokens."""
        if not character.isascii() or character.isspace():
            return True  # may span several tokens, or be dropped when decoded alone
        if token not in self._pieces:
            self._pieces[token] = self._decode([token])
        return character in self._pieces[token]

    def _read_once(self, shared: Any, count: int) -> Any:
        """Compute the attention cache of the prompt [1, t] once, repeated for `count` rows."""
        from nngpt.generation.models.sampling import growing_cache

        cache = growing_cache(self.base.model.config)
        self._writer(input_ids=shared, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache.batch_repeat_interleave(count)
        return cache

    def _completion(
        self, row: list[int], prompt: Prompt, seed: int, index: int, prompt_tokens: int, s: float
    ) -> tuple[Completion, list[int]]:
        """Return a row's completion, without its end token, and the row."""
        ended = bool(row) and row[-1] in self._ends
        written = row[:-1] if ended else row
        text, stopped = chat.cut(self._decode(written), prompt.stop)
        completion = Completion(
            text=text,
            model=self.model,
            adapter=self._name,
            seed=seed,
            index=index,
            prompt_tokens=prompt_tokens,
            completion_tokens=len(written),
            seconds=s,
            finished=stopped or ended,
        )
        return completion, row

    def _decode(self, ids: list[int]) -> str:
        return str(self.base.tokenizer.decode(ids, skip_special_tokens=True))

    def _end_tokens(self) -> set[int]:
        """Return the ids of the tokens that end an answer."""
        tokenizer, config = self.base.tokenizer, self.base.model.generation_config
        end = config.eos_token_id
        listed = end if isinstance(end, list) else [end]
        return {
            t for t in (*listed, tokenizer.eos_token_id, tokenizer.pad_token_id) if t is not None
        }
