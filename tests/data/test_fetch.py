from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import data_samples as samples
import pytest

import nngpt
from nngpt import downloads
from nngpt.errors import DataError

TINY = downloads.Package("pip", "tiny-package", "1.0")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a real HTTP server for the folder tmp_path/www."""
    (tmp_path / "www").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            pass

    handler = partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_pip_downloads_a_wheel_and_one_member_is_read(wheels: Path, tmp_path: Path):
    samples.write_wheel(wheels, TINY.name, "1.0", {"tiny/a.bin": b"first", "tiny/b.bin": b"second"})
    (tmp_path / "down").mkdir()
    archive = downloads.download(TINY, tmp_path / "down")
    assert downloads.read_members(archive, {"b": "tiny/b.bin"}) == {"b": b"second"}


def test_a_missing_package_is_reported(wheels: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"pip package tiny-package 1\.0: cannot be downloaded"):
        downloads.download(TINY, tmp_path / "wheels")


def test_a_missing_member_is_reported(tmp_path: Path):
    samples.write_wheel(tmp_path, TINY.name, "1.0", {"tiny/a.bin": b"first"})
    (wheel,) = tmp_path.glob("*.whl")
    with pytest.raises(DataError, match=r"lacks the file tiny/z\.bin"):
        downloads.read_members(wheel, {"z": "tiny/z.bin"})


def test_members_of_a_tarball_are_unpacked(tmp_path: Path):
    contents = samples.gzipped({"a": b"plain"})
    samples.write_tarball(tmp_path / "x.tgz", "package", contents)
    assert downloads.read_members(tmp_path / "x.tgz", {"a": "package/a.gz"}) == {"a": b"plain"}


@pytest.mark.parametrize("name", ["x.whl", "x.tgz"])
def test_a_damaged_archive_is_a_data_error(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"not an archive")
    with pytest.raises(DataError, match="damaged"):
        downloads.read_members(tmp_path / name, {"a": "a"})


def test_a_truncated_tarball_is_a_data_error(tmp_path: Path):
    samples.write_tarball(tmp_path / "x.tgz", "package", {"a": os.urandom(100_000)})
    (tmp_path / "x.tgz").write_bytes((tmp_path / "x.tgz").read_bytes()[:50_000])
    with pytest.raises(DataError, match="damaged"):
        downloads.read_members(tmp_path / "x.tgz", {"a": "package/a"})


def test_a_python_without_pip_hints_how_to_get_it(tmp_path: Path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    code = (
        "from pathlib import Path\nfrom nngpt import downloads\n"
        "downloads.download(downloads.Package('pip', 'tiny', '1'), Path('.'))"
    )
    done = subprocess.run(
        [tmp_path / "bare/bin/python", "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(nngpt.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert "no pip" in done.stderr and "ensurepip" in done.stderr


def test_a_missing_client_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="npm is not installed"):
        downloads.download(downloads.Package("npm", "tiny", "1"), tmp_path)
    with pytest.raises(DataError, match="apt-get is not installed"):
        downloads.download(downloads.Package("apt", "tiny", ""), tmp_path)


def test_a_server_that_answers_is_reachable_and_downloaded_from(server: str, tmp_path: Path):
    (tmp_path / "www/file").write_bytes(b"content")
    assert downloads.reachable(f"{server}/file")
    downloads.download_url(f"{server}/file", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"content"
    assert not downloads.reachable(f"{server}/nothing")
    with pytest.raises(DataError, match="the download failed"):
        downloads.download_url(f"{server}/nothing", tmp_path / "got")


def test_a_closed_port_is_not_reachable():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert not downloads.reachable(f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert not downloads.reachable("no address")
