"""Pack what a GPU machine without network lacks: `scripts/gpu-proof --pack` makes `.carry`.

wheels/          packages of nngpt that PyTorch's images seldom have, for Python 3.12 on x86-64
mnist.tar.gz     the cached data set
tokenizer/       of the embedded model; weights are not needed to measure speed
    libseccomp.so.2  the system's library, if it is here
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

from nngpt import files
from nngpt.data import cache
from nngpt.generation.models import embedded

PACKAGES = (
    *("pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions"),
    *("sqlalchemy", "alembic", "mako", "datasketch", "pyseccomp"),
)
_MOST_BYTES = 32 << 20  # with the repository (28 MiB) at most 60 MiB
_GLIBC = ("2_28", "2_17")


def pack(folder: Path) -> None:
    """Write the folder anew; exit if something is missing or it is too large."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "wheels").mkdir(parents=True)
    platforms = [f"--platform=manylinux_{glibc}_x86_64" for glibc in _GLIBC]
    wanted = [f"{package}=={metadata.version(package)}" for package in PACKAGES]
    target = ["--only-binary=:all:", "--no-deps", "--python-version=3.12", "--implementation=cp"]
    pip = [sys.executable, "-m", "pip", "download", "-q", *target, *platforms]
    subprocess.run([*pip, "-d", str(folder / "wheels"), *wanted], check=True)
    if not cache.intact("mnist"):
        sys.exit("gpu-proof: MNIST is not in the cache. Hint: nngpt data pull mnist")
    with tarfile.open(folder / "mnist.tar.gz", "w:gz") as archive:
        for path in sorted(cache.folder("mnist").glob("*.*")):
            archive.add(path, f"data/mnist/{path.name}")
    converted = files.cache_folder() / "models" / "converted"
    found = sorted(converted.glob(f"{Path(embedded.MODELS['smollm2-135m'].file).stem}-*/"))
    if not found:
        sys.exit("gpu-proof: the model is not in the cache. Hint: nngpt models pull smollm2-135m")
    (folder / "tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(found[0] / name, folder / "tokenizer")
    for library in [*Path("/usr/lib").glob("*/libseccomp.so.2")][:1]:
        shutil.copy(library, folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 2**20:.1f} MiB")
    if size > _MOST_BYTES:
        sys.exit(f"gpu-proof: more than {_MOST_BYTES >> 20} MiB")


def unpack(folder: Path, place: Path) -> None:
    """Unpack the data set to the cache folder `place`, if it was packed."""
    archive = folder / "mnist.tar.gz"
    if archive.exists() and not (place / "data" / "mnist").exists():
        with tarfile.open(archive) as opened:
            opened.extractall(place, filter="data")
        (place / "data" / "mnist").chmod(0o700)
