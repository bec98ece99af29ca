"""Candidates cannot open sockets, nor reach servers that listen in this process."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_samples import NAME, attempt, everywhere, hostile

from nngpt.records import Evaluation, Refusal

Attack = Callable[..., Evaluation | Refusal]
Attacks = Callable[..., dict[str, Evaluation | Refusal]]

REACHES = """
import socket
def reach(family, kind, address):
    with socket.socket(family, kind) as s:
        s.settimeout(5)
        s.connect(address)
        s.send(b"reached")
"""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[dict[str, tuple[socket.socket, str]]]:
    """Listening sockets, and code with which a candidate would reach each."""
    inet, unix = socket.AF_INET, socket.AF_UNIX
    stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
    made: dict[str, tuple[socket.socket, str]] = {}
    with contextlib.ExitStack() as stack:
        for name, family, kind, address in (
            ("tcp", inet, stream, ("127.0.0.1", 0)),
            ("udp", inet, datagram, ("127.0.0.1", 0)),
            ("unix", unix, stream, str(tmp_path / "socket")),
            ("unix datagram", unix, datagram, str(tmp_path / "datagrams")),
            ("abstract", unix, stream, f"\0{NAME}"),
        ):
            server = stack.enter_context(socket.socket(family, kind))
            server.bind(address)
            if kind == stream:
                server.listen()
            where = server.getsockname()
            where = where.decode() if isinstance(where, bytes) else where
            made[name] = (server, f"reach({int(family)}, {int(kind)}, {where!r})")
        yield made


SERVERS = ("tcp", "udp", "unix", "unix datagram", "abstract")


@pytest.mark.parametrize("name", SERVERS)
def test_servers_are_reachable_from_outside(
    servers: dict[str, tuple[socket.socket, str]], name: str
) -> None:
    """Otherwise the tests below would prove nothing."""
    server, reach = servers[name]
    subprocess.run([sys.executable, "-c", f"{REACHES}\n{reach}"], check=True)
    assert select.select([server], [], [], 60)[0]


def test_no_candidate_reaches_a_server(
    attacks: Attacks, servers: dict[str, tuple[socket.socket, str]]
) -> None:
    code = REACHES + "\n".join(attempt(reach) for _, reach in servers.values())
    for result in attacks(everywhere(code)).values():
        assert isinstance(result, Evaluation), result
    assert not select.select([server for server, _ in servers.values()], [], [], 0)[0]


SOCKETS = (
    "socket.socketpair()",
    "socket.socket(socket.AF_INET6)",
    "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "socket.socket(socket.AF_INET, socket.SOCK_RAW)",
    "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
    "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
    "socket.create_server(('127.0.0.1', 0))",
    "socket.create_connection(('localhost', 80), 5)",
    "socket.getaddrinfo('example.org', 80)",
    "__import__('urllib.request').request.urlopen('http://example.org', timeout=5)",
    "[socket.socket(fileno=fd) for fd in range(3, 64)]",
)


def test_no_socket_can_be_made(attack: Attack) -> None:
    """All in one process, since an attempt that fails changes nothing."""
    result = attack(hostile("learn", "import socket\n" + "\n".join(map(attempt, SOCKETS))))
    assert isinstance(result, Evaluation), result
