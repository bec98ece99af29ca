"""The web server of the live page, for users of this machine only.

It listens on 127.0.0.1, answers GET and HEAD only, and only requests whose Host header names this
machine: a foreign page whose name resolves to this machine (DNS rebinding) gets no answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from nngpt.errors import StoreError, UserError
from nngpt.records import Arm
from nngpt.reports.live.candidates import STANDINGS
from nngpt.reports.live.snapshot import Snapshots

_HOST = "127.0.0.1"
_PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class WatchServer(ThreadingHTTPServer):
    """Serves the live page and the run's state until `shutdown`."""

    daemon_threads = True

    def __init__(self, snapshots: Snapshots, port: int) -> None:
        self.snapshots = snapshots
        self.files = _page_files()
        try:
            super().__init__((_HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise UserError(
                f"port {port} is not available ({why})", hint="Choose another, or --port 0 for any"
            ) from None

    @property
    def address(self) -> str:
        """URL of the page."""
        return f"http://{_HOST}:{self.server_port}/"

    @property
    def hosts(self) -> set[str]:
        """Host headers that are answered."""
        names = {_HOST, "localhost"}
        found = {f"{name}:{self.server_port}" for name in names}
        return found | names if self.server_port == 80 else found  # browsers leave out 80


def _page_files() -> Mapping[str, tuple[str, bytes]]:
    """Return content type and content of each file of the live page, by path."""
    found = {
        f"/{file.name}": (_TYPES[file.suffix], file.read_bytes())
        for file in _PAGE.iterdir()
        if file.suffix in _TYPES
    }
    return {**found, "/": found["/index.html"]}


class _Handler(BaseHTTPRequestHandler):
    server: WatchServer
    protocol_version = "HTTP/1.1"
    server_version = "nngpt"
    sys_version = ""
    timeout = 30  # seconds until a silent connection is closed

    def parse_request(self) -> bool:
        """Refuse requests to other hosts and other methods before handling them."""
        if not super().parse_request():
            return False
        if self.headers.get_all("Host") not in [[host] for host in self.server.hosts]:
            return self._refuse(HTTPStatus.FORBIDDEN, "Only requests to this machine are answered.")
        if self.command not in ("GET", "HEAD"):
            return self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD.")
        return True

    def do_GET(self) -> None:
        """Send a file of the page, the run's state, a list of candidates, or one or two of them."""
        path = urlsplit(self.path).path
        if path in self.server.files:
            self._send(HTTPStatus.OK, *self.server.files[path])
        elif path == "/api/run":
            self._answer(self._run)
        elif found := re.fullmatch(r"/api/attempt/([0-9]{1,12})(?:/([0-9]{1,12}))?", path):
            self._answer(partial(self._attempt, *map(int, filter(None, found.groups()))))
        elif path == "/api/attempts":
            self._answer(self._attempts)
        elif path == "/candidates.csv":
            self._answer(self._table)
        else:
            self._missing()

    do_HEAD = do_GET  # noqa: N815 (the standard library's name)

    def _run(self) -> None:
        body, tag = self.server.snapshots.current()
        if self.headers.get("If-None-Match") == tag:
            self._send(HTTPStatus.NOT_MODIFIED, _JSON, b"", ETag=tag)
        else:
            self._send(HTTPStatus.OK, _JSON, body, ETag=tag)

    def _attempt(self, *ids: int) -> None:
        snapshots = self.server.snapshots
        try:
            body = snapshots.pair(*ids) if len(ids) > 1 else snapshots.attempt(*ids)
        except StoreError as error:
            if not error.what.startswith("no attempt"):
                raise
            self._send(HTTPStatus.NOT_FOUND, _JSON, _error_json(error))
        else:
            self._send(HTTPStatus.OK, _JSON, body)

    def _attempts(self) -> None:
        given = parse_qs(urlsplit(self.path).query)
        arm, standing, page = (given.get(name, [""])[-1] for name in ("arm", "standing", "page"))
        known = arm in ("", *Arm) and standing in ("", *STANDINGS)
        if not known or not re.fullmatch("[0-9]{1,9}", page or "0"):
            return self._missing()
        body = self.server.snapshots.listed(arm, standing, int(page or 0))
        return self._send(HTTPStatus.OK, _JSON, body)

    def _table(self) -> None:
        self._send(HTTPStatus.OK, "text/csv; charset=utf-8", self.server.snapshots.table())

    def _missing(self) -> None:
        self._send(HTTPStatus.NOT_FOUND, _TEXT, b"Not found.\n")

    def _answer(self, reply: Callable[[], None]) -> None:
        try:
            reply()
        except StoreError as error:  # busy or missing: the page shows the error and asks again
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, _JSON, _error_json(error))

    def _refuse(self, status: HTTPStatus, why: str) -> bool:
        self.close_connection = True
        self._send(status, _TEXT, f"{why}\n".encode(), Connection="close", Allow="GET, HEAD")
        return False

    def _send(self, status: HTTPStatus, kind: str, body: bytes, **headers: str) -> None:
        try:
            self.send_response(status)
            for name, value in {**_HEADERS, **headers}.items():
                self.send_header(name, value)
            if status is not HTTPStatus.NOT_MODIFIED:
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except ConnectionError:  # the browser has closed the connection
            self.close_connection = True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send the standard library's refusals of malformed requests as text."""
        self._refuse(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests."""


def _error_json(error: StoreError) -> bytes:
    return json.dumps({"error": error.line()}).encode()
