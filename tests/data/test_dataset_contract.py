"""Contract of every data set, tested on the real files where packages contain them."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import data_samples as samples
import numpy as np
import pytest

from nngpt import files, plugins
from nngpt.data import cache as data_cache
from nngpt.data.loading import class_names
from nngpt.data.sources import cifar10, cifar100, fashion_mnist, image_folder, mnist, svhn
from nngpt.errors import DataError
from nngpt.protocols import DatasetSource

Make = Callable[[Path, pytest.MonkeyPatch], DatasetSource]


def real(name: str, fetch: bool) -> Make:
    """Use the real data set from the user's cache, linked into the test's cache."""

    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetSource:
        with monkeypatch.context() as before:
            before.delenv("NNGPT_CACHE")
            if USERS_CACHE is not None:
                before.setenv("NNGPT_CACHE", USERS_CACHE)
            source = plugins.create("data set", name, None)
            if fetch:
                source.prepare()
            if not source.available():
                pytest.skip(f"{name} is not in the cache (nngpt data pull {name})")
            origin = data_cache.folder(name)
        leave = shutil.ignore_patterns("splits")
        shutil.copytree(origin, data_cache.folder(name), copy_function=_link, ignore=leave)
        return source

    return make


def small_files(module, contents: dict[str, bytes]) -> Make:
    def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetSource:
        root = samples.write_files(folder / "files", contents)
        return samples.small(module.SPEC, contents, root)

    return make


def pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetSource:
    return image_folder.create(samples.write_pictures(folder / "pictures"))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


USERS_CACHE = files.environment("NNGPT_CACHE")
REAL: dict[str, Make] = {
    "mnist": real("mnist", fetch=True),
    "cifar10": real("cifar10", fetch=False),
    "fashion-mnist": real("fashion-mnist", fetch=False),
}
SOURCES: dict[str, Make] = {
    "mnist, small": small_files(mnist, samples.mnist_files()),
    "fashion-mnist, small": small_files(fashion_mnist, samples.mnist_files()),
    "cifar10, small": small_files(cifar10, samples.cifar10_files()),
    "cifar100, small": small_files(cifar100, samples.cifar100_files()),
    "svhn, small": small_files(svhn, samples.svhn_files()),
    "image-folder": pictures,
}


@pytest.fixture(params=SOURCES)
def source(
    request: pytest.FixtureRequest, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> DatasetSource:
    made = (REAL | SOURCES)[request.param](tmp_path, monkeypatch)
    assert isinstance(made, DatasetSource)
    made.prepare()
    return made


def test_every_built_in_data_set_is_under_this_contract():
    without_images = {"nasbench201"}
    names = set(plugins.names("data set")) - without_images
    assert {name.split(",")[0] for name in SOURCES} == names


def test_a_data_set_without_names_has_numbers():
    source = SimpleNamespace(classes=3)
    assert class_names(cast(DatasetSource, source)) == ("0", "1", "2")


@pytest.mark.parametrize("source", REAL | SOURCES, indirect=True)
def test_parts_have_the_promised_form(source: DatasetSource):
    splits = source.splits(seed=1, train_limit=None, validation_limit=20)
    assert source.available()
    assert (splits.name, splits.classes) == (source.name, source.classes)
    assert splits.shape == source.shape
    assert splits.class_names == source.class_names == class_names(source)
    assert len(splits.class_names) == source.classes and len(splits.digest) == 64
    for part in (splits.train, splits.validation, splits.test):
        images, labels = part.open_images(), part.open_labels()
        assert images.dtype == np.uint8 and images.shape == (part.count, *source.shape)
        assert labels.dtype == np.int64 and labels.shape == (part.count,)
        assert labels.min() >= 0 and labels.max() < source.classes
        assert isinstance(images, np.memmap) and not images.flags.writeable


def test_statistics_are_those_of_the_training_part(source: DatasetSource):
    splits = source.splits(seed=1, train_limit=300, validation_limit=20)
    scaled = splits.train.open_images() / 255
    np.testing.assert_allclose(splits.mean, scaled.mean(axis=(0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(splits.std, scaled.std(axis=(0, 2, 3)), rtol=1e-6)


def test_same_seed_same_parts_and_another_seed_others(source: DatasetSource):
    first = source.splits(1, 30, 20)
    files = [first.train.images.read_bytes(), first.validation.labels.read_bytes()]
    shutil.rmtree(first.train.images.parent)
    again = source.splits(1, 30, 20)
    assert [again.train.images.read_bytes(), again.validation.labels.read_bytes()] == files
    other = source.splits(2, 30, 20)
    assert other.train.images.read_bytes() != files[0]


def test_limits_take_the_first_of_the_same_order(source: DatasetSource):
    whole, part = source.splits(1, 20, None), source.splits(1, 5, 1)
    assert part.train.count == 5 and part.validation.count == 1
    for name in ("train", "validation"):
        some, all_ = getattr(part, name).open_images(), getattr(whole, name).open_images()
        np.testing.assert_array_equal(some, all_[: len(some)])


def test_parts_do_not_overlap_and_nothing_is_lost(source: DatasetSource):
    splits = source.splits(1, None, None)
    train, validation = _hashes(splits.train), _hashes(splits.validation)
    whole = data_cache.open_array(splits.test.images.parent / "train_x.npy")
    assert len(train) + len(validation) == len(whole)
    assert sorted(train + validation) == sorted(hash(image.tobytes()) for image in whole)


def test_only_the_owner_can_read_folders_with_labels(source: DatasetSource):
    splits = source.splits(1, 10, 5)
    for part in (splits.train, splits.validation, splits.test):
        assert stat.S_IMODE(part.labels.parent.stat().st_mode) == 0o700


def test_splits_before_prepare_hint_at_the_fix(cache: Path, tmp_path: Path):
    contents = samples.svhn_files()
    source = samples.small(svhn.SPEC, contents, samples.write_files(tmp_path / "f", contents))
    with pytest.raises(DataError, match="nngpt data pull svhn"):
        source.splits(1, None, None)


def test_real_mnist_is_mnist(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = REAL["mnist"](tmp_path, monkeypatch)
    splits = source.splits(1, None, None)
    counts = (splits.train.count, splits.validation.count, splits.test.count)
    assert counts == (50_000, 10_000, 10_000)
    assert splits.mean[0] == pytest.approx(0.1307, abs=1e-3)
    assert splits.std[0] == pytest.approx(0.3081, abs=1e-3)


def _hashes(part) -> list[int]:
    return [hash(image.tobytes()) for image in part.open_images()]


def test_images_that_are_not_chosen_by_train_unless_training_is_limited(source: DatasetSource):
    whole = source.splits(seed=1, train_limit=None, validation_limit=None)
    few = source.splits(seed=1, train_limit=None, validation_limit=1)
    assert few.validation.count == 1
    assert few.train.count + 1 == whole.train.count + whole.validation.count
    assert few.digest != whole.digest
    limited = source.splits(seed=1, train_limit=whole.train.count, validation_limit=1)
    assert limited.train.count == whole.train.count
    assert limited.digest == whole.digest
    shared = few.train.open_images()[: whole.train.count]
    np.testing.assert_array_equal(shared, whole.train.open_images())
    rest = few.train.open_images()[whole.train.count :]
    np.testing.assert_array_equal(rest, whole.validation.open_images()[1:])
