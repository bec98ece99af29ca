"""The `openai` backend against small HTTP servers on this machine, well-behaved and not.

The exchanges are real HTTP. `Vllm` follows the documented answers of vLLM's adapter endpoints;
vLLM itself needs a GPU and is not started here. A real LLM server: test_server.py.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from nngpt.config import LLMConfig
from nngpt.errors import ConfigError, ModelError
from nngpt.generation.llm.openai import OpenAILLM, Options, create
from nngpt.records import Adapter, Message, Prompt, Sampling

PROMPT = Prompt("test", "0", "features", (Message("user", "Write."),), "nn.", ("\n)",))
SAMPLING = Sampling(temperature=0.5, max_new_tokens=20)
MODELS = json.dumps({"data": [{"id": "base"}]})
Answer = tuple[int, Iterable[bytes]]


class Web(ThreadingHTTPServer):
    """HTTP server that answers POST with `answer(path, body)` and GET with `models`.

    Attributes:
        asked: path and body of each POST request.
        headers: headers of each answer to a POST request.
        hang: True to keep the connection open after an answer until the client closes it.
        promise: number of bytes announced, more than are sent, so that the connection breaks off.
        hung_up: set when the client has closed a held connection.
    """

    daemon_threads = True
    request_queue_size = 128  # the default of 5 makes a burst of connections wait for retries

    def __init__(self, models: str = MODELS, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models, self.status = models, status
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answer: Callable[[str, dict[str, Any]], Answer] = lambda path, body: (200, [])
        self.headers: dict[str, str] = {}
        self.hang, self.promise, self.hung_up = False, 0, threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        self._send(self.server.status, [self.server.models.encode()])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        self._send(*self.server.answer(self.path, body))

    def _send(self, status: int, parts: Iterable[bytes]) -> None:
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        if self.server.promise:
            self.send_header("Content-Length", str(self.server.promise))
        self.end_headers()
        with suppress(ConnectionError):
            for part in parts:
                self.wfile.write(part)
        if self.command == "POST" and self.server.hang:
            with suppress(ConnectionError):
                self.rfile.read(1)
            self.server.hung_up.set()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(web: Web) -> Iterator[Web]:
    thread = threading.Thread(target=web.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield web
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(Web()) as started:
        yield started


def connect(url: str, batch_size: int = 8, timeout_s: float = 600, retry_s: float = 0) -> OpenAILLM:
    """Connect to a server whose `chat` endpoint renders the prompts."""
    options = Options(url=url, endpoint="chat", timeout_s=timeout_s, retry_s=retry_s)
    return create(LLMConfig(batch_size=batch_size), options=options)


@pytest.fixture
def llm(web: Web) -> Iterator[OpenAILLM]:
    made = connect(web.url, batch_size=4, timeout_s=20)
    yield made
    made.close()


def event(text: str | None, reason: str | None = None) -> bytes:
    """Return one chunk of a stream, with unescaped JSON like vLLM's."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}\n\n".encode()


def streams(web: Web, *parts: bytes, status: int = 200) -> None:
    web.answer = lambda path, body: (status, list(parts))


DONE = b"data: [DONE]\n\n"


def test_the_pieces_of_a_stream_are_joined(web: Web, llm: OpenAILLM) -> None:
    pieces = [
        b": ping\r\n\r\n",
        event(None),
        event("Line"),
        event("ar()\u2028é"),
        event("", "stop"),
    ]
    streams(web, *pieces, b'data: {"choices": [], "usage": {}}\n\n', DONE)
    one, two = llm.generate(PROMPT, 2, 7, SAMPLING)
    assert one.text == two.text == "Linear()\u2028é"
    assert one.finished and (one.index, two.index) == (0, 1)
    assert sorted(body["seed"] for _, body in web.asked) == [7, 8]
    path, body = web.asked[0]
    assert path == "/v1/chat/completions" and body["model"] == "base"
    assert body["messages"][-1] == {"role": "assistant", "content": "nn."}


def test_completions_requests_hold_the_rendered_prompt(web: Web) -> None:
    llm = create(
        LLMConfig(model="smollm2-135m"), options=Options(url=web.url, served_model="its-name")
    )
    streams(web, b'data: {"choices": [{"text": "ReLU()", "finish_reason": "stop"}]}\n\n', DONE)
    (done,) = llm.generate(PROMPT, 1, 1, SAMPLING)
    llm.close()
    ((path, body),) = web.asked
    assert path == "/v1/completions" and body["model"] == "its-name"
    assert body["prompt"].endswith("assistant\nnn.") and body["add_special_tokens"] is False
    assert done.text == "ReLU()" and done.prompt_tokens > 5 and done.completion_tokens > 1


def test_a_stop_string_ends_the_request(web: Web, llm: OpenAILLM) -> None:
    web.hang = True
    streams(web, event("a\n"), event(")b"))
    (done,) = llm.generate(PROMPT, 1, 1, SAMPLING)
    assert done.text == "a\n)" and done.finished
    assert web.hung_up.wait(20), "the connection is still open"


def test_a_text_cut_off_by_the_limit_is_unfinished(web: Web, llm: OpenAILLM) -> None:
    streams(web, event("a"), event("b", "length"), DONE)
    (done,) = llm.generate(PROMPT, 1, 1, SAMPLING)
    assert done.text == "ab" and not done.finished


def test_a_large_batch_is_requested_in_parallel(web: Web) -> None:
    together = threading.Barrier(64)  # a thread pool of the default size would never fill it
    streams(web, event("a", "stop"), DONE)
    ready = web.answer

    def when_all_are_here(path: str, body: dict[str, Any]) -> Answer:
        together.wait(60)
        return ready(path, body)

    web.answer = when_all_are_here
    llm = connect(web.url, batch_size=64, timeout_s=90)
    assert len(llm.generate(PROMPT, 64, 1, SAMPLING)) == 64
    llm.close()


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b'data: {"error": {"message": "out of\\nmemory"}}\n\n', r"broke off \(out of memory\)"),
        (b'data: {"error": "no"}\n\n', r"broke off \(no\)"),
        (b'data: {"choices": [{"de\n\n', "streams no completion"),
        (b"data: " + 100_000 * b"[" + b"\n", "streams no completion"),
        (b'{"choices": [{"de', "streams no completion"),
        (b'data: {"error": "\\u001b[31mred"}', r"broke off \(\\x1b\[31mred\)"),
        (b"data: \xff\n\n", "streams no completion"),
        (b"data: 7\n\n", "streams no completion"),
        (b'data: {"choices": {"text": "a"}}\n\n', "streams no completion"),
        (b'data: {"choices": [{"text": 7}]}\n\n', "streams no completion"),
        (b'data: {"choices": [{"text": "a", "delta": null}]}\n\n' + DONE, "finish_reason"),
        (b'data: {"id": "1"}\n\n', "finish_reason"),
        (b"<html>Welcome</html>", "finish_reason"),
        (b"", "finish_reason"),
    ],
)
def test_wrong_streams(web: Web, llm: OpenAILLM, stream: bytes, message: str) -> None:
    streams(web, stream)
    with pytest.raises(ModelError, match=message) as caught:
        llm.generate(PROMPT, 2, 1, SAMPLING)
    assert caught.value.where == web.url and "\n" not in str(caught.value)


def test_a_dropped_connection(web: Web, llm: OpenAILLM) -> None:
    web.promise = 1000
    streams(web, event("a"))
    with pytest.raises(ModelError, match="connection broke off during /chat/completions"):
        llm.generate(PROMPT, 1, 1, SAMPLING)


def test_a_silent_server(web: Web) -> None:
    web.hang = True
    streams(web, event("a"))
    llm = connect(web.url, timeout_s=0.3)
    with pytest.raises(ModelError, match=r"no answer .* in time.*llm\.options\.timeout_s"):
        llm.generate(PROMPT, 1, 1, SAMPLING)
    llm.close()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (event(65_536 * "a"), "longer than 8 MiB"),
        (b"data: " + 65_536 * b"a", "longer than 8 MiB"),
        (b'{"a": ' + 65_536 * b"[", "longer than 8 MiB"),
    ],
)
def test_an_answer_without_end(web: Web, llm: OpenAILLM, part: bytes, message: str) -> None:
    web.answer = lambda path, body: (200, repeat(part))
    with pytest.raises(ModelError, match=message):
        llm.generate(PROMPT, 1, 1, SAMPLING)


def test_an_answer_that_trickles(web: Web) -> None:
    def trickle() -> Iterator[bytes]:
        while True:
            time.sleep(0.05)
            yield event("a")

    web.answer = lambda path, body: (200, trickle())
    llm = connect(web.url, timeout_s=0.4)
    with pytest.raises(ModelError, match=r"no answer .* in time.*llm\.options\.timeout_s"):
        llm.generate(PROMPT, 1, 1, SAMPLING)
    llm.close()


def in_turn(web: Web, *answers: Answer) -> None:
    """Let the server answer its requests with these, the last one again and again."""
    left = list(answers)
    web.answer = lambda path, body: left.pop(0) if len(left) > 1 else left[0]


GOOD = (200, [event("a", "stop"), DONE])


def test_a_busy_server_is_asked_again(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    llm = connect(web.url, retry_s=20)
    in_turn(web, (503, []), GOOD)
    assert llm.generate(PROMPT, 1, 1, SAMPLING)[0].text == "a"
    web.headers = {"Retry-After": "0"}
    in_turn(web, (429, []), (500, []), (429, []), GOOD)
    assert len(llm.generate(PROMPT, 2, 1, SAMPLING)) == 2
    assert len(web.asked) == 2 + 5
    assert caplog.messages == [
        f"The server at {web.url} is busy or away (HTTP 503): trying again for up to 20 s."
    ]
    in_turn(web, (503, [b"no"]))
    with pytest.raises(ModelError, match=r"503 to .* \(no\).*llm\.options\.retry_s"):
        llm.generate(PROMPT, 1, 1, SAMPLING)
    assert len(web.asked) == 7 + 9, "a bounded number of tries"
    web.headers = {"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}
    with pytest.raises(ModelError, match="503"):
        llm.generate(PROMPT, 1, 1, SAMPLING)
    assert len(web.asked) == 17, "it would be too late"
    llm.close()


def test_a_server_that_goes_away_is_awaited(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Web()) as web:
        llm = connect(web.url, retry_s=1)
    with pytest.raises(ModelError, match="no server answers"):
        llm.generate(PROMPT, 1, 1, SAMPLING)
    llm.close()
    assert "busy or away (ConnectError)" in caplog.text
    with pytest.raises(ModelError, match="no server answers"):
        connect(web.url, retry_s=600)  # never seen: not awaited


def test_waiting_can_be_stopped(web: Web) -> None:
    llm = connect(web.url, retry_s=600)
    web.headers = {"Retry-After": "300"}
    web.answer = lambda path, body: (503, [])
    stopping = threading.Timer(0.3, llm.stop)
    stopping.start()
    with pytest.raises(ModelError, match="stopped"):
        llm.generate(PROMPT, 1, 1, SAMPLING)
    stopping.join()
    llm.close()


def test_an_answer_that_is_not_streamed(web: Web, llm: OpenAILLM) -> None:
    choice = {"index": 0, "message": {"content": "a\n)b"}, "finish_reason": "stop"}
    streams(web, b"\n", json.dumps({"choices": [choice]}, indent=2).encode())
    (done,) = llm.generate(PROMPT, 1, 1, SAMPLING)
    assert done.text == "a\n)" and done.finished


def test_what_a_server_refuses_is_left_out(
    web: Web, llm: OpenAILLM, caplog: pytest.LogCaptureFixture
) -> None:
    refused = ("top_k", "add_generation_prompt", "max_tokens")

    def strict(path: str, body: dict[str, Any]) -> Answer:
        if named := next((key for key in refused if key in body), None):
            return 400, [f"Unrecognized request argument supplied: {named}\x1b".encode()]
        return GOOD

    web.answer = strict
    assert llm.generate(PROMPT, 1, 1, SAMPLING)[0].text == "a"
    assert len(web.asked) == 4
    llm.generate(PROMPT, 3, 1, SAMPLING)
    assert len(web.asked) == 4 + 3, "settled once"
    body = web.asked[-1][1]
    assert not set(refused) & set(body) and body["max_completion_tokens"] == 20
    assert body["temperature"] == 0.5 and body["continue_final_message"] is True
    assert [m.split(" (")[0] for m in caplog.messages] == [
        f"The server refuses {r}" for r in refused
    ]
    assert "supplied: top_k\\x1b): from now on it is left out" in caplog.messages[0]


def test_a_refusal_that_no_request_mends(web: Web, llm: OpenAILLM) -> None:
    streams(web, b"temperature and top_k: no", status=400)
    with pytest.raises(ModelError, match="answered 400"):
        llm.generate(PROMPT, 1, 1, SAMPLING)
    assert len(web.asked) == 3


def test_reasoning_that_takes_all_tokens(
    web: Web, llm: OpenAILLM, caplog: pytest.LogCaptureFixture
) -> None:
    choice = {"delta": {"content": None, "reasoning_content": "Hm"}, "finish_reason": "length"}
    streams(web, f"data: {json.dumps({'choices': [choice]})}".encode())
    (one, _) = llm.generate(PROMPT, 2, 1, SAMPLING)
    assert one.text == "" and not one.finished
    assert len(caplog.messages) == 1 and "took the 20 tokens" in caplog.messages[0]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (302, "answered 302"),
        (401, "401.*OPENAI_API_KEY"),
        (404, "404.*served_model"),
        (500, r"500 to /chat/completions \(too \\x1b\[1mlong\)"),
    ],
)
def test_refusals(web: Web, llm: OpenAILLM, status: int, message: str) -> None:
    streams(web, b" too\n\x1b[1mlong ", status=status)
    with pytest.raises(ModelError, match=message):
        llm.generate(PROMPT, 1, 1, SAMPLING)


@pytest.mark.parametrize(
    ("models", "status", "message"),
    [
        ("<html>Welcome</html>", 200, "no OpenAI-compatible server"),
        ("[]", 200, "no OpenAI-compatible server"),
        (100_000 * "[", 200, "no OpenAI-compatible server"),
        ('{"data": null}', 200, "no OpenAI-compatible server"),
        ("no such page", 404, r"404 to /models.*llm\.options\.url"),
    ],
)
def test_other_web_servers(models: str, status: int, message: str) -> None:
    with serving(Web(models, status)) as web, pytest.raises(ModelError, match=message):
        connect(web.url)


@pytest.mark.parametrize("url", ["localhost:80", "http://[", "http://127.0.0.1:port/v1"])
def test_wrong_urls(url: str) -> None:
    with pytest.raises(ModelError, match=r"llm\.options\.url"):
        connect(url)


def test_the_tokenizer_is_not_guessed() -> None:
    with pytest.raises(ConfigError, match=r"llm\.model: not set"):
        create(LLMConfig(), options=Options())


class Vllm:
    """vLLM's adapter endpoints: 400 for a name loaded already, 404 for an unknown one."""

    def __init__(self) -> None:
        self.loaded: dict[str, str] = {}
        self.actions: list[str] = []

    def __call__(self, path: str, body: dict[str, Any]) -> Answer:
        if "lora_adapter" not in path:
            return 200, [event("a", "stop"), DONE]
        name, action = body["lora_name"], path.split("/")[-1].removesuffix("_lora_adapter")
        self.actions.append(f"{action} {name}")
        if action == "load" and name in self.loaded:
            return 400, [b'{"error": {"message": "has already been loaded"}}']
        if action == "load":
            self.loaded[name] = body["lora_path"]
        elif self.loaded.pop(name, None) is None:
            return 404, [b'{"error": {"message": "cannot be found"}}']
        return 200, [f"Success: {action} {name}".encode()]


@pytest.fixture
def vllm(web: Web) -> Vllm:
    web.answer = made = Vllm()
    return made


def adapter(folder: Path, name: str, base: str = "smollm2-135m") -> Adapter:
    (folder / name).mkdir()
    (folder / name / "adapter_config.json").write_text("{}")
    return Adapter(name, str(folder / name), base, "d", None, "h", 1, 1, 1.0, 1.0, 1.0)


def test_one_adapter_at_a_time(web: Web, vllm: Vllm, llm: OpenAILLM, tmp_path: Path) -> None:
    first, second = adapter(tmp_path, "run-1-c1"), adapter(tmp_path, "run-1-c2")
    llm.use_adapter(first)
    llm.use_adapter(first)
    assert vllm.loaded == {"run-1-c1": first.path}
    (done,) = llm.generate(PROMPT, 1, 1, SAMPLING)
    assert web.asked[-1][1]["model"] == done.adapter == "run-1-c1"
    llm.use_adapter(second)
    assert list(vllm.loaded) == ["run-1-c2"]
    llm.use_adapter(None)
    (done,) = llm.generate(PROMPT, 1, 1, SAMPLING)
    assert (vllm.loaded, web.asked[-1][1]["model"], done.adapter) == ({}, "base", None)


def test_a_resumed_run_reloads_its_adapter(web: Web, vllm: Vllm, tmp_path: Path) -> None:
    own = adapter(tmp_path, "run-1-c1")
    vllm.loaded[own.name] = "/older/weights"
    llm = connect(web.url)
    llm.use_adapter(own)
    assert vllm.loaded == {own.name: own.path}
    assert vllm.actions == ["unload run-1-c1", "load run-1-c1"]
    llm.close()
    assert vllm.loaded == {}


def test_closing_does_not_need_the_server(tmp_path: Path) -> None:
    with serving(Web()) as web:
        web.answer = Vllm()
        llm = connect(web.url)
        llm.use_adapter(adapter(tmp_path, "run-1-c1"))
    llm.close()


def test_adapters_that_do_not_fit(vllm: Vllm, llm: OpenAILLM, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"made for other, not for smollm2-135m.*llm\.model"):
        llm.use_adapter(adapter(tmp_path, "a", base="other"))
    lost = adapter(tmp_path, "b")
    Path(lost.path, "adapter_config.json").unlink()
    with pytest.raises(ModelError, match="missing or incomplete"):
        llm.use_adapter(lost)
    assert vllm.actions == []


def test_a_server_without_adapters(web: Web, llm: OpenAILLM, tmp_path: Path) -> None:
    streams(web, b'{"detail": "Not Found"}', status=404)
    with pytest.raises(ModelError, match=r"404.*--enable-lora --max-lora-rank 32.*UPDATING=True"):
        llm.use_adapter(adapter(tmp_path, "a"))
