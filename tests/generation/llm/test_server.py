"""The `openai` backend against a real server process, llama-cpp-python's (`make test-server`)."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from command_line import Nngpt

from nngpt.config import LLMConfig
from nngpt.errors import ModelError
from nngpt.generation.llm.openai import OpenAILLM, Options, create
from nngpt.generation.models import chat, embedded
from nngpt.generation.models.loading import load_tokenizer
from nngpt.records import Adapter, Message, Prompt, Sampling

pytestmark = pytest.mark.server
PROMPT = Prompt(
    template="test",
    template_hash="0",
    mode="features",
    messages=(Message("user", "Count from 1 to 9, separated by commas."),),
    prefill="1, 2, 3,",
    stop=(" 7",),
)
GREEDY = Sampling(temperature=0.0, max_new_tokens=30)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = str(embedded.path("smollm2-135m"))
    command = [sys.executable, "-m", "llama_cpp.server", "--model", model, "--port", str(port)]
    # By default each request interrupts the previous one.
    command += ["--n_ctx", "2048", "--interrupt_requests", "False"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/v1"
    try:
        for _ in range(120):
            assert server.poll() is None, "the server ended"
            try:
                httpx.get(f"{address}/models", timeout=2)
                break
            except httpx.TransportError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(scope="module")
def llm(url: str) -> Iterator[OpenAILLM]:
    made = create(LLMConfig(model="smollm2-135m", batch_size=2), options=Options(url=url))
    yield made
    made.close()


def test_an_answer_continues_the_prefill_up_to_the_stop_string(llm: OpenAILLM) -> None:
    first, second = llm.generate(PROMPT, 2, 1, GREEDY)
    assert first.text == second.text == " 4, 5, 6, 7"
    assert first.finished and first.completion_tokens > 0 and first.prompt_tokens > 0


def test_token_counts_agree_with_the_server(llm: OpenAILLM, url: str) -> None:
    (ours,) = llm.generate(PROMPT, 1, 1, Sampling(temperature=0.0, max_new_tokens=1))
    prompt = chat.render(load_tokenizer(llm.model), PROMPT)
    answer = httpx.post(f"{url}/completions", json={"prompt": prompt, "max_tokens": 1}, timeout=60)
    assert answer.json()["usage"]["prompt_tokens"] == ours.prompt_tokens


def test_a_text_cut_off_by_the_limit_is_not_repaired(llm: OpenAILLM) -> None:
    (short,) = llm.generate(PROMPT, 1, 1, Sampling(temperature=0.0, max_new_tokens=3))
    assert not short.finished and " 7" not in short.text


def test_chat_endpoint_answers(url: str) -> None:
    llm = create(LLMConfig(), options=Options(url=url, endpoint="chat"))
    plain = Prompt("test", "0", "full", (Message("user", "Say hello."),))
    (answer,) = llm.generate(plain, 1, 1, GREEDY)
    llm.close()
    assert answer.text.strip()


def test_a_server_without_adapters_is_one_clear_line(llm: OpenAILLM, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    adapter = Adapter("a-1-c1", str(tmp_path), llm.model, "d", None, "h", 1, 1, 1.0, 1.0, 1.0)
    with pytest.raises(ModelError, match="--enable-lora"):
        llm.use_adapter(adapter)


def test_nngpt_generate_uses_the_server(nngpt: Nngpt, url: str) -> None:
    sets = [f"llm.options.url={url}", "llm.backend=openai", "sampling.max_new_tokens=120"]
    arguments = [part for s in sets for part in ("--set", s)]
    done = nngpt("generate", "smoke-mnist", "--count", 2, *arguments)
    assert done.returncode == 0, done.stderr
    assert "fit the contract in features mode" in done.stderr
