"""Writes through an OpenAI-compatible server: vLLM, llama.cpp, llama-cpp-python …

With `endpoint: completions` (the default) the prompt is rendered here, by the one renderer, with
the tokenizer of `llm.model`, so the server sees the bytes the LLM is tuned on. `endpoint: chat`
leaves rendering to the server, for services that offer nothing else. Adapters use vLLM's
run-time loading, each under its own new name (invariant 9).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from nngpt.config import LLMConfig
from nngpt.errors import ConfigError, ModelError
from nngpt.generation.models import chat
from nngpt.generation.models.constrained import with_settings
from nngpt.generation.models.loading import load_tokenizer
from nngpt.generation.models.server import Server
from nngpt.records import Adapter, Completion, Prompt, Sampling

_UNLOAD_TIMEOUT_S = 30.0


def create(config: LLMConfig) -> OpenAILLM:
    """Connect to `llm.url`.

    Raises:
        ConfigError: `llm.model`, whose tokenizer renders the prompts, was not set.
        ModelError: no such server answers there, or there is no such tokenizer.
    """
    if config.endpoint == "completions" and "model" not in config.model_fields_set:
        raise ConfigError(
            "not set, and the prompts are rendered with its tokenizer",
            where="llm.model",
            hint="Name the model that the server serves, or set llm.endpoint to chat.",
        )
    server = Server(config)
    try:
        models = {} if config.served_model else server.models()
        served = config.served_model or next(iter(models), config.model)
        tokenizer = load_tokenizer(config.model) if config.endpoint == "completions" else None
    except ModelError:
        server.close()
        raise
    return OpenAILLM(config, server, served, tokenizer, models.get(served))


class OpenAILLM:
    """Implements `nngpt.protocols.LLM` over HTTP; a batch is that many requests at once."""

    def __init__(
        self,
        config: LLMConfig,
        server: Server,
        served: str,
        tokenizer: Any,
        context: int | None = None,
    ) -> None:
        self._server = server
        self._context = context
        self._served = served
        self._tokenizer = tokenizer
        self._url = config.url
        self._timeout_s = config.timeout_s
        self._structured = config.structured
        self._adapter: Adapter | None = None
        self.model = config.model
        self.batch_size = config.batch_size
        self.facts = f"{served} at {config.url} ({config.endpoint})"

    def generate(
        self, prompt: Prompt, count: int, seed: int, sampling: Sampling
    ) -> list[Completion]:
        """Ask for `count` completions at once, each with its own seed; see `protocols.LLM`."""
        written = self._sample(prompt, count, seed, sampling, {})
        return (
            with_settings(self, prompt, written, seed, sampling) if sampling.constrain else written
        )

    def generate_json(
        self,
        prompt: Prompt,
        schema: Mapping[str, Any],
        count: int,
        seed: int,
        sampling: Sampling,
    ) -> list[Completion]:
        """The same with JSON of a schema, if the server heeds it; see `protocols.WritesJson`."""
        return self._sample(prompt, count, seed, sampling, structured(self._structured, schema))

    def check_json(self) -> None:
        """Only the server's answers tell whether it can."""

    def _sample(
        self, prompt: Prompt, count: int, seed: int, sampling: Sampling, more: Mapping[str, Any]
    ) -> list[Completion]:
        body = {**self._body(prompt, sampling), **more}
        started = time.monotonic()
        with ThreadPoolExecutor(max_workers=self.batch_size) as pool:
            answers = list(pool.map(lambda i: self._ask(body, seed + i, prompt.stop), range(count)))
        seconds = (time.monotonic() - started) / count
        return [self._completion(*a, prompt, seed, i, seconds) for i, a in enumerate(answers)]

    def room(self, prompt: Prompt, sampling: Sampling) -> int | None:
        """Tokens left free in the context, if the server tells its length (vLLM does)."""
        if self._context is None or self._tokenizer is None:
            return None
        tokens = len(chat.encode(self._tokenizer, chat.render(self._tokenizer, prompt)))
        return self._context - tokens - sampling.max_new_tokens

    def use_adapter(self, adapter: Adapter | None) -> None:
        """Load the adapter into the server (vLLM) and unload the one before.

        Raises:
            ModelError: the folder is missing, the adapter belongs to another base, or the
                server cannot load adapters.
        """
        if adapter == self._adapter:
            return
        if adapter is not None:
            self._check(adapter)
            # A run that was cut off may have left it there, and vLLM loads no name twice.
            self._unload(adapter)
        if self._adapter is not None:
            self._unload(self._adapter)
            self._adapter = None
        if adapter is not None:
            self._load(adapter)
            self._adapter = adapter

    def stop(self) -> None:
        """The server's answer is waited for, or left behind."""

    def close(self) -> None:
        """Unload the adapter, if the server still answers, and close the connections."""
        if self._adapter is not None:
            with suppress(ModelError):
                self._unload(self._adapter)
            self._adapter = None
        self._server.close()

    def _body(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._adapter.name if self._adapter else self._served,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "max_tokens": sampling.max_new_tokens,
            "stream": True,
        }
        if self._tokenizer is not None:
            # The template has put the special tokens in already.
            rendered = chat.render(self._tokenizer, prompt)
            return body | {"prompt": rendered, "add_special_tokens": False}
        messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
        if prompt.prefill:
            messages.append({"role": "assistant", "content": prompt.prefill})
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        return body | {"messages": messages}

    def _ask(self, body: dict[str, Any], seed: int, stop: tuple[str, ...]) -> tuple[str, bool]:
        """One answer and whether it came to its own end.

        Streams and stops here: servers differ in whether they return the stop string, and one
        that we had put back would be a repair of what the LLM wrote (invariant 7).
        """
        path = "/completions" if self._tokenizer is not None else "/chat/completions"
        text, ended = "", False
        with closing(self._server.stream(path, body | {"seed": seed % 2**31})) as pieces:
            for piece, reason in pieces:
                text, stopped = chat.cut(text + piece, stop)
                if stopped:
                    return text, True
                ended = ended or reason == "stop"
        return text, ended

    def _completion(
        self, text: str, ended: bool, prompt: Prompt, seed: int, index: int, seconds: float
    ) -> Completion:
        def count(t: str) -> int:
            return len(chat.encode(self._tokenizer, t)) if self._tokenizer else len(t.split())

        return Completion(
            text=text,
            model=self.model,
            adapter=self._adapter.name if self._adapter else None,
            seed=seed,
            index=index,
            prompt_tokens=count(chat.render(self._tokenizer, prompt)) if self._tokenizer else 0,
            completion_tokens=count(text),
            seconds=seconds,
            finished=ended,
        )

    def _check(self, adapter: Adapter) -> None:
        if not (Path(adapter.path) / "adapter_config.json").is_file():
            raise ModelError(
                f"the folder of adapter {adapter.name!r} is missing or incomplete",
                where=adapter.path,
                hint="Restore it, or begin anew with --fresh.",
            )
        if adapter.base != self.model:
            raise ModelError(
                f"adapter {adapter.name!r} was made for {adapter.base}, not for {self.model}",
                where=adapter.path,
                hint=f"Set llm.model to {adapter.base}.",
            )

    def _load(self, adapter: Adapter) -> None:
        names = {"lora_name": adapter.name, "lora_path": adapter.path}
        status, answer = self._server.post("/load_lora_adapter", names, self._timeout_s)
        if status != 200:
            raise ModelError(
                f"the server did not load adapter {adapter.name!r} ({status}: {answer})",
                where=self._url,
                hint="Start vLLM with --enable-lora --max-lora-rank 32 (no less than"
                " learning.rank) and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True.",
            )

    def _unload(self, adapter: Adapter) -> None:
        """Whatever the server answers: it does not know the adapter, or loading will tell."""
        names = {"lora_name": adapter.name}
        self._server.post("/unload_lora_adapter", names, _UNLOAD_TIMEOUT_S)


def structured(key: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """How a server is asked for JSON of a schema.

    `structured_outputs` is vLLM's from 0.12 on, `guided_json` what it was before, `response_format`
    OpenAI's, `json_schema` llama.cpp's.
    """
    if key == "structured_outputs":
        return {key: {"json": schema}}
    if key == "response_format":
        named = {"name": "answer", "strict": True, "schema": schema}
        return {key: {"type": "json_schema", "json_schema": named}}
    return {key: schema}
