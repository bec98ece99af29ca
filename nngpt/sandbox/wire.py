"""How the processes of the sandbox talk: frames over a pipe, messages over a socket.

The result pipe carries frames (type byte, little-endian length, payload): JSON facts, raw
little-endian float32 logits, and for an export the raw bytes of one tensor after another and those
of an ONNX file. There is no pickle anywhere. The control socket between runner and
zygote carries one small JSON object a packet, with open descriptors beside it.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

FACTS = b"J"
LOGITS = b"L"
TENSOR = b"T"
ONNX = b"O"

_HEADER = struct.Struct("<cI")
_PACKET = 1 << 16
_MAX_FDS = 16


class WireError(ValueError):
    """Bytes that are not a frame the reader expects; the sender is a candidate, so no surprise."""


def write_frame(fd: int, kind: bytes, payload: bytes) -> None:
    """Write one frame, however many writes it takes."""
    data = memoryview(_HEADER.pack(kind, len(payload)) + payload)
    while data:
        data = data[os.write(fd, data) :]


class FrameReader:
    """Cuts a byte stream into frames, never holding more than one allowed frame and one read.

    Attributes:
        allow: says whether a frame of this kind and length may come now.
    """

    def __init__(self, allow: Callable[[bytes, int], bool]) -> None:
        self.allow = allow
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Add bytes and yield the frames that are complete.

        Raises:
            WireError: a frame that is not allowed; found before its payload is read.
        """
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer)
            if not self.allow(kind, length):
                raise WireError(f"unexpected frame {kind!r} of {length} bytes")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as whole, whole[_HEADER.size : end] as part:
                payload = bytes(part)  # a frame may be large: copied once
            del self._buffer[:end]
            yield kind, payload


def send(control: socket.socket, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message, with descriptors if there are any. Raises: OSError (peer gone)."""
    data = packed(message)
    if fds:
        socket.send_fds(control, [data], list(fds))
    else:
        control.send(data)


def packed(message: Mapping[str, Any]) -> bytes:
    """The bytes of one message."""
    return json.dumps(message).encode()


def receive(control: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Wait for one message; None when the peer is gone. Raises: ValueError (not a message)."""
    try:
        data, fds, _, _ = socket.recv_fds(control, _PACKET, _MAX_FDS)
    except ConnectionError:
        return None, []
    if not data:
        return None, fds
    message = json.loads(data)
    if not isinstance(message, dict):
        raise ValueError("not a message")
    return message, fds
