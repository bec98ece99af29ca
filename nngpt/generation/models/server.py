"""HTTP client of the `openai` backend: requests, streamed answers, and clear errors.

Nothing that a server does is unbounded: an answer has a limit of seconds and bytes, and a server
that is busy or away is asked again a limited number of times.
"""

from __future__ import annotations

import logging
import math
import random
import re
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from nngpt.errors import ModelError, readable
from nngpt.files import environment, parse_json

_SEE_LOG = "See the server's own log."
# llama_cpp.server by default ends one stream when another request arrives.
_BROKEN = "See the server's own log; llama_cpp.server needs --interrupt_requests False."

_CONNECT_S, _IMPATIENT_S = 10.0, 30.0
_TRIES = 9
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_EVERY_S = 30.0
"""Seconds between two lines about a busy server."""

_MAX_BYTES, _BYTES_PER_TOKEN = 8 << 20, 4096
"""Limit of an answer in bytes: a constant, and a part for each token of an answer of the LLM."""

_OPTIONAL = (
    *("top_k", "add_generation_prompt", "continue_final_message", "add_special_tokens"),
    *("stream", "seed", "top_p", "temperature"),
)
_RENAMED = {"max_tokens": "max_completion_tokens"}
"""Keys that servers refuse: those in `_OPTIONAL` are left out, these have another name."""

log = logging.getLogger(__name__)
"""Shows the user one line on standard error for each warning."""


Piece = tuple[str, str | None, bool]
"""A piece of an answer, its finish reason (None before the last), and whether it is reasoning."""


class Server:
    """Client of an OpenAI-compatible server; turns every fault into a one-line `ModelError`."""

    def __init__(
        self, url: str, api_key_env: str, timeout_s: float, retry_s: float, connections: int
    ) -> None:
        """Open a client with at most `connections` parallel requests; sends nothing yet.

        Args:
            timeout_s: seconds for an answer.
            retry_s: seconds to wait, in all, for a server that is busy or away.
        """
        self._url, self._api_key_env = url, api_key_env
        self._timeout_s, self._retry_s = timeout_s, retry_s
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._refused: set[str] = set()
        self._answered, self._told = False, -_EVERY_S
        key = environment(api_key_env)
        with self._clear_errors(url):
            self._http = httpx.Client(
                base_url=url.rstrip("/"),
                headers={"Authorization": f"Bearer {key}"} if key else {},
                limits=httpx.Limits(
                    max_connections=connections, max_keepalive_connections=connections
                ),
            )

    def models(self) -> dict[str, int | None]:
        """List the served models, base models first, with their context length in tokens or None.

        Raises: ModelError if no OpenAI-compatible server answers.
        """
        status, answer = self._exchange("GET", "/models", None)
        if status != httpx.codes.OK:
            raise self._refusal("/models", status, answer)
        try:
            models = parse_json(answer)["data"]
            return {str(model["id"]): _length(model.get("max_model_len")) for model in models}
        except (ValueError, TypeError, LookupError, AttributeError):
            raise self._error(
                "no OpenAI-compatible server answers",
                "Set llm.options.url; it usually ends with /v1.",
            ) from None

    def post(self, path: str, body: dict[str, Any], patient: bool = True) -> tuple[int, str]:
        """Send the server a request; return status and text of its answer.

        Args:
            patient: True to ask again while the server is busy or away, False to give up soon.

        Raises: ModelError.
        """
        status, answer = self._exchange("POST", path, body, patient)
        return status, brief(answer)

    def stream(self, path: str, body: dict[str, Any]) -> Generator[Piece]:
        """Yield the pieces of the server's answer; one piece if the server does not stream.

        Keys that the server refuses are left out from now on, and the user is told. Close the
        iterator to stop the server early.

        Raises: ModelError if the server refuses, breaks off, or sends no completion.
        """
        ended, limit = False, _MAX_BYTES + _BYTES_PER_TOKEN * int(body["max_tokens"])
        with self._clear_errors(path), closing(self._accepted(path, body)) as response:
            for data in _events(self._chunks(response, path, limit)):
                piece = self._piece(data)
                ended = ended or piece[1] is not None
                yield piece
        if not ended:
            raise self._error(
                f"the server broke its answer to {path} off without a finish_reason", _BROKEN
            )

    def stop(self) -> None:
        """End all waiting and reading soon, with a ModelError in the threads that do."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections to the server."""
        self._http.close()

    # ------------------------------------------------------------------ requests

    def _accepted(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Return the open answer to a request, without what the server refuses. Raises: ModelError.

        Keys are left out one by one: a server names one, or repeats the whole request.
        """
        while True:
            sent = {
                _RENAMED.get(key, key) if key in self._refused else key: value
                for key, value in body.items()
                if key not in self._refused or key in _RENAMED
            }
            response = self._send("POST", path, sent, patient=True)
            if response.is_success:
                return response
            answer = self._text(response, path)
            known = [key for key in (*_OPTIONAL, *_RENAMED) if key in sent]
            named = next((key for key in known if re.search(rf"\b{key}\b", answer)), None)
            if response.status_code not in (400, 422) or named is None:
                raise self._refusal(path, response.status_code, answer)
            with self._lock:
                new = named not in self._refused
                self._refused.add(named)
            if new:
                instead = f"it gets {_RENAMED[named]}" if named in _RENAMED else "it is left out"
                why = brief(answer)
                log.warning("The server refuses %s (%s): from now on %s.", named, why, instead)

    def _exchange(
        self, method: str, path: str, body: dict[str, Any] | None, patient: bool = True
    ) -> tuple[int, str]:
        with self._clear_errors(path):
            response = self._send(method, path, body, patient)
            return response.status_code, self._text(response, path)

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None, patient: bool
    ) -> httpx.Response:
        """Send a request, again while the server is busy or away; return the open response."""
        most = self._timeout_s if patient else min(self._timeout_s, _IMPATIENT_S)
        limit, waited = httpx.Timeout(most, connect=min(most, _CONNECT_S)), 0.0
        for doubling in (*_pauses(), math.inf):
            request = self._http.build_request(method, path, json=body, timeout=limit)
            began, pause = time.monotonic(), doubling if patient else math.inf
            try:
                response = self._http.send(request, stream=True)
            except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout) as error:
                # A server that has never answered may never have been there.
                if not self._answered or waited + pause > self._retry_s:
                    raise
                fault = type(error).__name__
            else:
                self._answered, status = True, response.status_code
                response.extensions["deadline"] = began + most
                asked = _retry_after(response.headers.get("Retry-After"))
                pause = asked if asked is not None and pause < math.inf else pause
                if not _is_busy(status) or waited + pause > self._retry_s:
                    return response
                response.close()
                fault = f"HTTP {status}"
            self._tell_busy(fault)
            waited += pause
            if self._stopped.wait(pause):
                break
        raise self._error("stopped", "")

    def _text(self, response: httpx.Response, path: str) -> str:
        """Read an answer to its end, and close it."""
        with closing(response):
            data = b"".join(self._chunks(response, path, _MAX_BYTES))
        return data.decode(errors="replace")

    def _chunks(self, response: httpx.Response, path: str, limit: int) -> Iterator[bytes]:
        """Yield an answer as it comes. Raises: ModelError at its limits of bytes and seconds."""
        size = 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > limit:
                what = f"the answer to {path} is longer than {limit >> 20} MiB"
                raise self._error(what, _SEE_LOG)
            if time.monotonic() > response.extensions["deadline"]:
                raise httpx.ReadTimeout("")
            if self._stopped.is_set():
                raise self._error("stopped", "")
            yield chunk

    # ------------------------------------------------------------------ what the user is told

    def _tell_busy(self, fault: str) -> None:
        """Log that the server is busy or away, at most every `_EVERY_S` seconds."""
        with self._lock:
            due = time.monotonic() - self._told >= _EVERY_S
            self._told = time.monotonic() if due else self._told
        if due:
            what = f"The server at {self._url} is busy or away ({fault})"
            log.warning("%s: trying again for up to %g s.", what, self._retry_s)

    def _piece(self, data: bytes) -> Piece:
        try:
            event = parse_json(data)
            if event.get("error"):
                raise self._error(f"the server broke off ({brief(event['error'])})", _SEE_LOG)
            choice = (event.get("choices") or [{}])[0]
            said = choice.get("delta") or choice.get("message") or {}
            text = choice.get("text") or said.get("content") or ""
            reasoning = said.get("reasoning_content") or said.get("reasoning")
            return text + "", choice.get("finish_reason"), bool(reasoning)
        except (ValueError, TypeError, AttributeError, LookupError):
            shown = brief(data.decode(errors="replace"))
            raise self._error(f"the server streams no completion ({shown})", _SEE_LOG) from None

    def _error(self, what: str, hint: str) -> ModelError:
        return ModelError(what, where=self._url, hint=hint)

    def _refusal(self, path: str, status: int, answer: str) -> ModelError:
        """Return the error for an HTTP status, with what the user can do about it."""
        hint = _SEE_LOG
        if status in (401, 403):
            hint = f"Put its key into the environment variable {self._api_key_env}."
        elif status == 404:
            hint = "Set llm.options.url (it usually ends with /v1) or llm.options.served_model."
        elif _is_busy(status):
            hint = "See the server's own log, or raise llm.options.retry_s."
        return self._error(f"the server answered {status} to {path} ({brief(answer)})", hint)

    @contextmanager
    def _clear_errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise self._error(
                f"no server answers ({type(error).__name__})", "Start it, or set llm.options.url."
            ) from None
        except httpx.TimeoutException:
            raise self._error(
                f"no answer to {path} in time",
                "Raise llm.options.timeout_s, or lower llm.batch_size.",
            ) from None
        except httpx.InvalidURL as error:
            raise self._error(f"not a URL ({error})", "Set llm.options.url.") from None
        except httpx.HTTPError as error:
            raise self._error(
                f"the connection broke off during {path} ({type(error).__name__})", _BROKEN
            ) from None


def brief(answer: object) -> str:
    """Shorten a server's message to one line of at most 200 characters that a terminal can show."""
    message = answer.get("message", answer) if isinstance(answer, dict) else answer
    return readable(" ".join(str(message)[:4000].split())[:200])


def _events(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the data of server-sent events; all of an answer that is one JSON object instead.

    httpx's `iter_lines()` would also split at U+2028 and the like, which JSON may contain.
    """
    rest, whole = bytearray(), None
    for chunk in chunks:
        rest += chunk
        if whole is None and rest.strip():
            whole = rest.lstrip().startswith(b"{")
        if not whole and b"\n" in chunk:
            *lines, rest = rest.split(b"\n")
            yield from _data(lines)
    yield from [bytes(rest)] if whole else _data([rest])


def _data(lines: list[bytearray]) -> Iterator[bytes]:
    for line in lines:
        field, _, data = line.partition(b":")
        if field == b"data" and data.strip() != b"[DONE]":
            yield bytes(data.strip())


def _pauses() -> Iterator[float]:
    """Yield the seconds to wait before each new try: doubling, and never the same for two."""
    for number in range(_TRIES - 1):
        most: float = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**number)
        yield most * random.uniform(0.5, 1)


def _is_busy(status: int) -> bool:
    return status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a header Retry-After asks for, given as a number or a date."""
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value or "") - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _length(value: object) -> int | None:
    """Return a context length that is a positive number, else None."""
    return value if isinstance(value, int) and value > 0 else None
