"""HTTP client of the `openai` backend: requests, streamed answers, and clear errors."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from nngpt.errors import ModelError
from nngpt.files import environment

_SEE_LOG = "See the server's own log."
# llama_cpp.server by default ends one stream when another request arrives.
_BROKEN = "See the server's own log; llama_cpp.server needs --interrupt_requests False."


class Server:
    """Client of an OpenAI-compatible server; turns every fault into a one-line `ModelError`."""

    def __init__(self, url: str, api_key_env: str, timeout_s: float, connections: int) -> None:
        """Open a client with at most `connections` parallel requests; sends nothing yet."""
        self._url, self._api_key_env = url, api_key_env
        key = environment(api_key_env)
        with self._clear_errors(url):
            self._http = httpx.Client(
                base_url=url.rstrip("/"),
                timeout=timeout_s,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                limits=httpx.Limits(
                    max_connections=connections, max_keepalive_connections=connections
                ),
            )

    def models(self) -> dict[str, int | None]:
        """List the served models, base models first, with their context length in tokens or None.

        Raises: ModelError if no OpenAI-compatible server answers.
        """
        with self._clear_errors("/models"):
            response = self._http.get("/models").raise_for_status()
        try:
            models = response.json()["data"]
            return {str(model["id"]): _length(model.get("max_model_len")) for model in models}
        except (ValueError, TypeError, LookupError, AttributeError):
            raise self._error(
                "no OpenAI-compatible server answers",
                "Set llm.options.url; it usually ends with /v1.",
            ) from None

    def post(self, path: str, body: dict[str, Any], timeout_s: float) -> tuple[int, str]:
        """Send the server a request; return status and text of its answer. Raises: ModelError."""
        with self._clear_errors(path):
            response = self._http.post(path, json=body, timeout=timeout_s)
        return response.status_code, _brief(response.text)

    def stream(self, path: str, body: dict[str, Any]) -> Generator[tuple[str, str | None]]:
        """Yield the pieces of the server's answer, with their finish reason (None before the last).

        Close the iterator to stop the server early.

        Raises: ModelError if the server refuses, breaks off, or sends no completion.
        """
        ended = False
        request = self._http.stream("POST", path, json=body)
        with self._clear_errors(path), request as response:
            if not response.is_success:
                response.read()
                response.raise_for_status()
            for data in _events(response.iter_bytes()):
                text, reason = self._piece(data)
                ended = ended or reason is not None
                yield text, reason
        if not ended:
            raise self._error(
                f"the server broke its answer to {path} off without a finish_reason", _BROKEN
            )

    def close(self) -> None:
        """Close the connections to the server."""
        self._http.close()

    def _piece(self, data: bytes) -> tuple[str, str | None]:
        try:
            event = json.loads(data)
            if event.get("error"):
                raise self._error(f"the server broke off ({_brief(event['error'])})", _SEE_LOG)
            choice = (event.get("choices") or [{}])[0]
            text = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
            return text + "", choice.get("finish_reason")
        except (ValueError, TypeError, AttributeError, LookupError):
            shown = _brief(data.decode(errors="replace"))
            raise self._error(f"the server streams no completion ({shown})", _SEE_LOG) from None

    def _error(self, what: str, hint: str) -> ModelError:
        return ModelError(what, where=self._url, hint=hint)

    @contextmanager
    def _clear_errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPStatusError as error:
            status, answer = error.response.status_code, _brief(error.response.text)
            raise self._error(
                f"the server answered {status} to {path} ({answer})", self._hint(status)
            ) from None
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

    def _hint(self, status: int) -> str:
        """Return what the user can do about an HTTP status."""
        if status in (401, 403):
            return f"Put its key into the environment variable {self._api_key_env}."
        if status == 404:
            return "Set llm.options.url (it usually ends with /v1) or llm.options.served_model."
        return _SEE_LOG


def _events(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the data of server-sent events.

    httpx's `iter_lines()` would also split at U+2028 and the like, which JSON may contain.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            field, _, data = line.partition(b":")
            if field == b"data" and data.strip() != b"[DONE]":
                yield data.strip()


def _length(value: object) -> int | None:
    """Return a context length that is a positive number, else None."""
    return value if isinstance(value, int) and value > 0 else None


def _brief(answer: object) -> str:
    """Shorten a server's message to one line of at most 200 characters."""
    message = answer.get("message", answer) if isinstance(answer, dict) else answer
    return " ".join(str(message).split())[:200]
