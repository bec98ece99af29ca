"""A headless Chromium for tests, driven through its DevTools protocol over two pipes."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
PROGRAM = next((found for name in NAMES if (found := shutil.which(name))), None)
MISSING = f"none of {', '.join(NAMES)} is on PATH"

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions --remote-debugging-pipe"
)
_PATIENCE_S = 240
# Chromium reads its file 3 and writes its file 4.
_AS_3_AND_4 = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One page. What it complains of (console errors, exceptions, failed loads) is in `errors`."""

    def __init__(self, folder: Path, width: int = 1280, height: int = 900) -> None:
        assert PROGRAM is not None
        commands, self._commands = os.pipe()
        self._replies, replies = os.pipe()
        # Out of the way of 3 and 4, which the child overwrites.
        inherited = [fcntl.fcntl(end, fcntl.F_DUPFD, 100) for end in (commands, replies)]
        profile = f"--user-data-dir={folder / 'profile'}"
        stub = [sys.executable, "-c", _AS_3_AND_4, *map(str, inherited)]
        self._process = subprocess.Popen(
            [*stub, PROGRAM, *_FLAGS.split(), profile, "about:blank"],
            pass_fds=inherited,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (commands, replies, *inherited):
            os.close(end)
        self._unread, self._number, self._session, self._loaded = b"", 0, "", False
        self.errors: list[str] = []
        self._attach(width, height)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._call("Browser.close", session=False)
        self._process.wait(_PATIENCE_S)
        os.close(self._commands)
        os.close(self._replies)

    def _attach(self, width: int, height: int) -> None:
        targets = self._call("Target.getTargets", session=False)["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        how = {"targetId": page, "flatten": True}
        self._session = self._call("Target.attachToTarget", session=False, **how)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """The size of the window, in CSS pixels."""
        how = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **how)

    def prefer(self, **features: str) -> None:
        """Media features, such as `prefers_color_scheme="dark"`."""
        found = [{"name": n.replace("_", "-"), "value": v} for n, v in features.items()]
        self._call("Emulation.setEmulatedMedia", features=found)

    def go(self, address: str) -> None:
        """Load a page, another than the one that is there."""
        self._loaded = False
        self._call("Page.navigate", url=address)
        while not self._loaded:
            self._note(self._read())

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page."""
        reply = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in reply, reply
        return reply["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The value of a JavaScript expression, once it is true."""
        return until(lambda: self.ask(expression), expression)

    def press(self, key: str, code: int) -> None:
        """A key with its Windows key code, as the protocol wants it."""
        for kind in ("rawKeyDown", "keyUp"):
            how = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
            self._call("Input.dispatchKeyEvent", **how)

    def picture(self, file: Path) -> None:
        """The whole page, as PNG."""
        reply = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(reply["data"]))

    def _call(self, method: str, session: bool = True, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._read()
            self._note(reply)
            if reply.get("id") == self._number:
                assert "error" not in reply, f"{method}: {reply['error']}"
                return dict(reply["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._replies], [], [], _PATIENCE_S)
            part = os.read(self._replies, 1 << 16) if ready else b""
            assert part, "Chromium says nothing any more"
            self._unread += part
        message, self._unread = self._unread.split(b"\0", 1)
        return dict(json.loads(message))

    def _note(self, message: dict[str, Any]) -> None:
        given = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.errors.append(str(given["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if given["type"] in ("error", "warning", "assert"):
                self.errors.append(str(given["args"]))
            case "Log.entryAdded" if given["entry"]["level"] in ("error", "warning"):
                self.errors.append(str(given["entry"]))


def until(question: Callable[[], Any], what: str) -> Any:
    """The answer to a question, once it is true."""
    end = time.monotonic() + _PATIENCE_S
    while not (answer := question()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)
    return answer
