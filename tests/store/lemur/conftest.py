"""The LEMUR corpus from the cache, downloaded if missing, and a part of it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from lemur_files import bring_in
from store_samples import open_new

from nngpt.store import Store
from nngpt.store.lemur import importer

_CODE = ("ab/nn/transform/", "ab/nn/metric/", "ab/nn/loader/")
_NETWORKS = (
    "MNASNet",  # with files that are not laid out or not sorted as LEMUR does
    "ConditionalVAE3",  # with a boolean among the hyperparameters, and another metric
    "FractalNet-00f492908ad6c5538438210e16f85896",  # these two share a uid, but not
    "FractalNet-013d587f4648dbbdb6681923ca70ba51",  # the hyperparameters; and ran on devices
    "ga-mut-1177",  # with files that list no trial
    "ast-activation-AlexNet-033377476d30570c325e7aad9fa4c15c",  # with carriage returns
)


@pytest.fixture(scope="session")
def wheel() -> Path:
    """Return the wheel of the whole corpus, 103 MB."""
    return importer.download_corpus()


@pytest.fixture(scope="session")
def part(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel with a few networks of the corpus and everything about them."""
    target = tmp_path_factory.mktemp("lemur") / "part.whl"
    with (
        zipfile.ZipFile(wheel) as whole,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as few,
    ):
        for name in whole.namelist():
            if name.startswith(_CODE) or _network(name) in _NETWORKS:
                few.writestr(name, whole.read(name))
    return target


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Store]:
    """Open an empty database to import into."""
    with open_new(tmp_path / "runs" / "nngpt.db") as store:
        yield store


@pytest.fixture(scope="session")
def imported(part: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Open a database with the networks of `part`, which tests only read."""
    with open_new(tmp_path_factory.mktemp("imported") / "nngpt.db") as store:
        assert bring_in(store, part).refused.count == 0
        yield store


def _network(member: str) -> str:
    """Return the network that a member of the package belongs to."""
    parts = member.split("/")
    if parts[:3] == ["ab", "nn", "nn"]:
        return parts[-1].removesuffix(".py")
    return parts[4].split("_")[-1] if parts[:3] == ["ab", "nn", "stat"] else ""
