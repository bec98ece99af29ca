from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import data_samples as samples
import numpy as np
import pytest
from PIL import Image

from nngpt.data import formats
from nngpt.errors import DataError


class Attack:
    """A pickle that would run a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_cifar_batch_reads_pickled_numpy_arrays_and_lists():
    rows = samples.images(3).reshape(3, -1)
    for data, labels in ((rows, [1, 2, 3]), (rows.copy(order="F"), np.array([1, 2, 3]))):
        batch = pickle.dumps({b"data": data, b"labels": labels}, protocol=2)
        images, numbers = formats.cifar_batch(batch, b"labels")
        np.testing.assert_array_equal(images, samples.images(3))
        assert numbers.tolist() == [1, 2, 3]


def test_cifar_batch_of_old_numpy_is_read():
    batch = pickle.dumps({b"data": samples.images(2), b"labels": [0, 1]}, protocol=2)
    old = batch.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != batch
    assert len(formats.cifar_batch(old, b"labels")[0]) == 2


def test_cifar_batch_runs_no_code(tmp_path: Path):
    trace = tmp_path / "ran"
    batch = pickle.dumps({b"data": Attack(f"touch {trace}"), b"labels": []})
    with pytest.raises(DataError, match="system"):
        formats.cifar_batch(batch, b"labels")
    assert not trace.exists()


@pytest.mark.parametrize(
    "read",
    [
        formats.idx_images,
        formats.idx_labels,
        lambda data: formats.cifar_batch(data, b"labels"),
        formats.svhn,
        formats.png_rows,
        formats.json_labels,
    ],
)
@pytest.mark.parametrize("data", [b"", b"nonsense" * 40, b"\0\0\x08\x03\0\0\0\x09", b"\x80\x02}."])
def test_other_formats_are_a_data_error(read, data: bytes):
    with pytest.raises(DataError):
        read(data)


@pytest.mark.parametrize("keep", [130, 200, -20])
def test_a_truncated_matlab_file_is_a_data_error(keep: int):
    with pytest.raises(DataError):
        formats.svhn(samples.svhn_files()["test_32x32.mat"][:keep])


def test_png_rows_are_images():
    images = samples.images(6)
    rows = images.transpose(0, 2, 3, 1).reshape(6, 1024, 3)
    file = io.BytesIO()
    Image.fromarray(rows).save(file, "PNG")
    np.testing.assert_array_equal(formats.png_rows(file.getvalue()), images)


def test_json_labels():
    assert formats.json_labels(b"[6, 9, 4]").tolist() == [6, 9, 4]
