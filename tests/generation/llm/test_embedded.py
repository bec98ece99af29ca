from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from nngpt import files
from nngpt.downloads import Package
from nngpt.errors import ModelError
from nngpt.generation.models import embedded

CONTENT = (b"GGUF first half, ", b"second half")
WHOLE = b"".join(CONTENT)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> embedded.EmbeddedModel:
    """A model in two packages in a folder for the real pip, with an empty cache."""
    monkeypatch.setenv("NNGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    for number, part in enumerate(CONTENT, start=1):
        write_wheel(tmp_path, number, part)
    model = embedded.EmbeddedModel(
        name="tiny",
        about="two parts",
        license="MIT",
        file="tiny.gguf",
        size=len(WHOLE),
        sha256=hashlib.sha256(WHOLE).hexdigest(),
        parameters=0,
        parts=tuple((Package("pip", f"tiny-part{n}", "1.0"), f"t/{n}.bin") for n in (1, 2)),
        part_size=len(CONTENT[0]),
    )
    monkeypatch.setitem(embedded.MODELS, "tiny", model)
    return model


def write_wheel(folder: Path, number: int, content: bytes) -> None:
    stem = f"tiny_part{number}-1.0"
    metadata = f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"t/{number}.bin", content)
        wheel.writestr(f"{stem}.dist-info/METADATA", metadata)
        wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{stem}.dist-info/RECORD", "")


def in_cache(tmp_path: Path) -> list[str]:
    folder = tmp_path / "cache/models/tiny"
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def parts_of(lines: list[str]) -> list[str]:
    return [line.rpartition("(")[2] for line in lines[1:]]


def test_parts_are_joined_and_verified_and_downloaded_once(
    tiny: embedded.EmbeddedModel, tmp_path: Path
):
    lines: list[str] = []
    path = embedded.pull("tiny", lines.append)
    assert path.read_bytes() == WHOLE
    assert lines[0] == "tiny: 0 MB to download, 0 MB of disk after its first use"
    assert parts_of(lines) == ["1 of 2)", "2 of 2)"]
    assert embedded.resolve("tiny") == embedded.path("tiny") == path
    assert in_cache(tmp_path) == ["tiny.gguf"]
    lines.clear()
    embedded.pull("tiny", lines.append)
    assert lines == [], "a second pull downloads nothing"
    path.write_bytes(WHOLE[:-1])
    with pytest.raises(ModelError, match=r"damaged.*nngpt models pull tiny"):
        embedded.resolve("tiny")
    path.write_bytes(WHOLE.upper())
    assert embedded.pull("tiny").read_bytes() == WHOLE, "a damaged file is downloaded again"


@pytest.fixture
def killed(tiny: embedded.EmbeddedModel, tmp_path: Path) -> embedded.EmbeddedModel:
    """The same model, with what a pull left that was killed while it joined the second piece."""
    joined = tmp_path / "cache/models/tiny/.tiny.gguf.joined"
    joined.parent.mkdir(parents=True)
    joined.write_bytes(WHOLE[: len(CONTENT[0]) + 3])
    return tiny


@pytest.mark.parametrize(
    ("content", "message", "left"),
    [
        (b"SECOND HALF", r"the packages contain another file \(sha256 \w{12}…\)", []),
        (b"third", r"tiny-part2 1\.0: contains another file \(5 bytes\)", [".tiny.gguf.joined"]),
        (None, r"tiny-part2 1\.0: cannot be downloaded", [".tiny.gguf.joined"]),
    ],
)
def test_a_wrong_or_missing_package_is_named(
    content: bytes | None,
    message: str,
    left: list[str],
    killed: embedded.EmbeddedModel,
    tmp_path: Path,
):
    next(tmp_path.glob("tiny_part2*")).unlink()
    if content is not None:
        write_wheel(tmp_path, 2, content)
    with pytest.raises(ModelError, match=message):
        embedded.pull("tiny")
    assert in_cache(tmp_path) == left


def test_a_killed_pull_goes_on_after_its_last_whole_piece(
    killed: embedded.EmbeddedModel, tmp_path: Path
):
    lines: list[str] = []
    assert embedded.pull("tiny", lines.append).read_bytes() == WHOLE
    assert parts_of(lines) == ["2 of 2)"]
    assert in_cache(tmp_path) == ["tiny.gguf"]


def test_a_full_disk_is_told_before_the_download(
    tiny: embedded.EmbeddedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    large = replace(tiny, size=10**18)
    monkeypatch.setitem(embedded.MODELS, "tiny", large)
    lines: list[str] = []
    with pytest.raises(
        ModelError, match=r"1,000,000,000,000 MB are needed, and [\d,]+ MB are free"
    ):
        embedded.pull("tiny", lines.append)
    assert lines == []


def test_a_missing_model_is_refused_with_the_pull_command(tiny: embedded.EmbeddedModel):
    with pytest.raises(ModelError, match="nngpt models pull tiny"):
        embedded.resolve("tiny")
    assert embedded.cached_file(tiny) is None


def test_folders_files_and_hub_ids_are_resolved(tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "a.gguf").write_bytes(WHOLE)
    assert embedded.resolve(str(tmp_path / "model")) == tmp_path / "model"
    assert embedded.resolve(str(tmp_path / "a.gguf")) == tmp_path / "a.gguf"
    assert embedded.resolve("Qwen/Qwen2.5-Coder-7B") == "Qwen/Qwen2.5-Coder-7B"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("smollm2-135", "smollm2-135m"),
        ("nowhere/at/all", "no such file"),
        ("missing.gguf", "no such file"),
        ("some/missing.gguf", "no such file"),
        ("EMPTY", r"config\.json"),
        ("TEXT", "not a GGUF"),
    ],
)
def test_files_that_are_no_model_are_refused(model: str, message: str, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.gguf").write_text("text")
    places = {"EMPTY": tmp_path / "empty", "TEXT": tmp_path / "text.gguf"}
    with pytest.raises(ModelError, match=message):
        embedded.resolve(str(places.get(model, model)))


def test_the_real_small_model_has_its_digest():
    path = embedded.pull("smollm2-135m")
    assert files.digest(path) == embedded.MODELS["smollm2-135m"].sha256
    assert embedded.resolve("smollm2-135m") == path
