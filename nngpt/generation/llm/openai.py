"""LLM backend `openai`: an OpenAI-compatible server (vLLM, llama.cpp, llama-cpp-python …).

With `endpoint: completions` (the default), nngpt renders the prompt with the tokenizer of
`llm.model`, so that the server gets the bytes that the LLM is tuned on. `endpoint: chat` leaves
rendering to the server, for services that offer nothing else. Adapters use vLLM's run-time loading,
each under a new name (Lineage, docs/design.md).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from nngpt.config import LLMConfig
from nngpt.errors import ConfigError, ModelError
from nngpt.generation.models import chat, constrained
from nngpt.generation.models.loading import load_tokenizer
from nngpt.generation.models.server import Server, brief, log
from nngpt.plugins import PluginOptions
from nngpt.records import Adapter, Completion, Prompt, Sampling


class Options(PluginOptions):
    """Options of the backend `openai`: how to reach the server, and what it can do.

    `served_model` is the server's name of the model (default: the first it lists). The API key is
    read from the environment variable `api_key_env`. An answer may take `timeout_s` seconds in all;
    a server that is busy (HTTP 429, 5xx) or away is asked again for up to `retry_s` seconds.
    `structured` is the request key for output that follows a JSON schema.
    """

    may_change: ClassVar = frozenset({"url", "timeout_s", "retry_s", "api_key_env", "structured"})

    url: str = "http://127.0.0.1:8000/v1"
    endpoint: Literal["completions", "chat"] = "completions"
    served_model: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: float = Field(600, gt=0)
    retry_s: float = Field(120, ge=0)
    structured: Literal["structured_outputs", "response_format", "json_schema", "guided_json"] = (
        "structured_outputs"
    )


def create(config: LLMConfig, *, options: Options) -> OpenAILLM:
    """Return the backend `openai`, connected to its server.

    Raises:
        ConfigError: `llm.model`, whose tokenizer renders the prompts, is not set.
        ModelError: no OpenAI-compatible server answers, or the tokenizer cannot be loaded.
    """
    if options.endpoint == "completions" and "model" not in config.model_fields_set:
        raise ConfigError(
            "not set, and the prompts are rendered with its tokenizer",
            where="llm.model",
            hint="Name the model that the server serves, or set llm.options.endpoint to chat.",
        )
    limits = options.timeout_s, options.retry_s, config.batch_size
    server = Server(options.url, options.api_key_env, *limits)
    try:
        models = {} if options.served_model else server.models()
        served = options.served_model or next(iter(models), config.model)
        tokenizer = load_tokenizer(config.model) if options.endpoint == "completions" else None
    except ModelError:
        server.close()
        raise
    return OpenAILLM(config, options, server, served, tokenizer, models.get(served))


class OpenAILLM:
    """Implements `nngpt.protocols.LLM` over HTTP, with one concurrent request per completion."""

    def __init__(
        self,
        config: LLMConfig,
        options: Options,
        server: Server,
        served: str,
        tokenizer: Any,
        context: int | None = None,
    ) -> None:
        self._server, self._served, self._context = server, served, context
        self._tokenizer, self._options = tokenizer, options
        self._adapter: Adapter | None = None
        self.model, self.batch_size = config.model, config.batch_size
        self.facts = f"{brief(served)} at {options.url} ({options.endpoint})"
        self._warned = False

    def generate(
        self, prompt: Prompt, count: int, seed: int, sampling: Sampling
    ) -> list[Completion]:
        """Request `count` completions in parallel, each with its own seed."""
        return constrained.generate(
            *(self, prompt, count, seed, sampling),
            lambda: self._sample(prompt, count, seed, sampling, {}),
        )

    def generate_json(
        self, prompt: Prompt, schema: Mapping[str, Any], count: int, seed: int, sampling: Sampling
    ) -> list[Completion]:
        """Request completions that follow a JSON schema; the server may ignore the schema."""
        more = structured(self._options.structured, schema)
        return self._sample(prompt, count, seed, sampling, more)

    def check_json(self) -> None:
        """Check nothing: only the server's answers show whether it follows schemas."""

    def _sample(
        self, prompt: Prompt, count: int, seed: int, sampling: Sampling, more: Mapping[str, Any]
    ) -> list[Completion]:
        body = {**self._body(prompt, sampling), **more}
        started = time.monotonic()
        with ThreadPoolExecutor(max_workers=self.batch_size) as pool:
            answers = list(
                pool.map(lambda i: self._complete(body, seed + i, prompt.stop), range(count))
            )
        seconds = (time.monotonic() - started) / count
        return [self._completion(*a, prompt, seed, i, seconds) for i, a in enumerate(answers)]

    def room(self, prompt: Prompt, sampling: Sampling) -> int | None:
        """Return the tokens left free in the context; None if the server hides its length."""
        if self._context is None or self._tokenizer is None:
            return None
        tokens = len(chat.encode(self._tokenizer, chat.render(self._tokenizer, prompt)))
        return self._context - tokens - sampling.max_new_tokens

    def use_adapter(self, adapter: Adapter | None) -> None:
        """Load the adapter into the server (vLLM) and unload the previous one.

        Raises: ModelError if the folder is missing, the adapter belongs to another base, or
        the server cannot load adapters.
        """
        if adapter == self._adapter:
            return
        if adapter is not None:
            self._check(adapter)
            # A killed run may have left it there, and vLLM loads no name twice.
            self._unload(adapter)
        if self._adapter is not None:
            self._unload(self._adapter)
            self._adapter = None
        if adapter is not None:
            self._load(adapter)
            self._adapter = adapter

    def stop(self) -> None:
        """End waiting for the server, and reading its answers, at the next sign of it."""
        self._server.stop()

    def close(self) -> None:
        """Unload the adapter if the server still answers, and close the connections."""
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
            # The chat template has added the special tokens already.
            rendered = chat.render(self._tokenizer, prompt)
            return body | {"prompt": rendered, "add_special_tokens": False}
        messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
        if prompt.prefill:
            messages.append({"role": "assistant", "content": prompt.prefill})
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        return body | {"messages": messages}

    def _complete(self, body: dict[str, Any], seed: int, stop: tuple[str, ...]) -> tuple[str, bool]:
        """Stream one answer up to a stop string; return it and whether it is finished.

        Streamed, because servers differ in whether they return the stop string, and adding it here
        would be a repair of what the LLM wrote (Raw numbers, docs/design.md).
        """
        path = "/completions" if self._tokenizer is not None else "/chat/completions"
        text, reasoned, last = "", False, None
        with closing(self._server.stream(path, body | {"seed": seed % 2**31})) as pieces:
            for piece, reason, reasoning in pieces:
                text, stopped = chat.cut(text + piece, stop)
                if stopped:
                    return text, True
                reasoned, last = reasoned or reasoning, reason or last
        if reasoned and last == "length" and not self._warned:
            self._warned = True
            log.warning(
                "The model's reasoning (reasoning_content) took the %d tokens of an answer. Raise "
                "sampling.max_new_tokens, or switch reasoning off in the server.",
                body["max_tokens"],
            )
        return text, last == "stop"

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
                hint="Restore it, or start again with --fresh.",
            )
        if adapter.base != self.model:
            what = f"adapter {adapter.name!r} was made for {adapter.base}, not for {self.model}"
            raise ModelError(what, where=adapter.path, hint=f"Set llm.model to {adapter.base}.")

    def _load(self, adapter: Adapter) -> None:
        names = {"lora_name": adapter.name, "lora_path": adapter.path}
        status, answer = self._server.post("/load_lora_adapter", names)
        if status != 200:
            raise ModelError(
                f"the server did not load adapter {adapter.name!r} ({status}: {answer})",
                where=self._options.url,
                hint="Start vLLM with --enable-lora --max-lora-rank 32 (no less than"
                " learning.rank) and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True.",
            )

    def _unload(self, adapter: Adapter) -> None:
        """Unload an adapter; a failure is ignored, it shows when the next one loads."""
        names = {"lora_name": adapter.name}
        self._server.post("/unload_lora_adapter", names, patient=False)


def structured(key: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a request to an OpenAI-compatible server that asks for a JSON schema.

    Args:
        key: `structured_outputs` (vLLM from 0.12 on), `guided_json` (vLLM before),
            `response_format` (OpenAI) or `json_schema` (llama.cpp).
    """
    if key == "structured_outputs":
        return {key: {"json": schema}}
    if key == "response_format":
        named = {"name": "answer", "strict": True, "schema": schema}
        return {key: {"type": "json_schema", "json_schema": named}}
    return {key: schema}
