"""Wire formats of the sandbox: frames over the result pipe, messages over control sockets.

The result pipe carries frames (type byte, little-endian length, payload): JSON facts, raw
little-endian float32 logits, and for an export the raw bytes of each tensor and of an ONNX file.
Nothing is pickled. Control sockets carry one small JSON object per packet, and open descriptors.
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
    """A frame from a worker that breaks the protocol."""


def write_frame(fd: int, kind: bytes, payload: bytes) -> None:
    """Write one whole frame to the result pipe."""
    data = memoryview(_HEADER.pack(kind, len(payload)) + payload)
    while data:
        data = data[os.write(fd, data) :]


def write_facts(fd: int, **facts: Any) -> None:
    """Write a frame of facts, as a JSON object, to the result pipe."""
    write_frame(fd, FACTS, json.dumps(facts).encode())


class FrameReader:
    """Splits a byte stream into frames; holds at most one allowed frame and one read in memory."""

    def __init__(self, allow: Callable[[bytes, int], bool]) -> None:
        """Read only frames whose kind and length `allow` expects at that time."""
        self.allow = allow
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Add bytes and yield the complete frames. Raises: WireError if a frame is not allowed."""
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
    """Send a message on a control socket, with descriptors. Raises: OSError if the peer is gone."""
    data = packed(message)
    if fds:
        socket.send_fds(control, [data], list(fds))
    else:
        control.send(data)


def packed(message: Mapping[str, Any]) -> bytes:
    """Return the bytes of a control socket's message."""
    return json.dumps(message).encode()


def receive(control: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Wait for a control socket's message and descriptors; message None if the peer is gone.

    Raises: ValueError if the packet is not a JSON object.
    """
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
