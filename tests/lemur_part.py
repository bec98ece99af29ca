"""A part of LEMUR for tests of predictors: 18 networks with few runs of 50 epochs."""

from __future__ import annotations

import zipfile
from pathlib import Path

from nngpt.store import Store
from nngpt.store.lemur import importer
from nngpt.store.lemur.importer import import_source, open_source

NETWORKS = (
    *("AirNet-626c3eb9-5c0a-43be-bcba-745592729769", "AirNet-97f31e02-5bf8-4917-aca7-d947805e10f6"),
    *("AlexNet-69c52339-4eac-45f1-bbfe-2c51949701f1", "VGG-485c0cc2-a9da-4340-9872-e0140cb51d9d"),
    *(
        "BagNet-6ecd3fc7-5ce2-4876-86a6-5e8250c43d78",
        "DarkNet-11e8caec-5e73-461e-a101-3aa39dfec644",
    ),
    *(
        "DenseNet-bf465678-0780-4fb3-94a0-5a1fd7985481",
        "DPN68-c9cdb196-7596-4368-974a-56edf8b10381",
    ),
    *("MNASNet", "InceptionV3-1", "ShuffleNet", "Diffuser", "UNet2D", "VGG", "DenseNet", "AirNext"),
    # What the reference tests on:
    "BayesianNet-588ebe09-571f-4b23-a4ce-685b7ccb302d",
    "BayesianNet-0901ac22-d7f5-4deb-94c9-970e7955bd68",
)
DATASETS = ("mnist", "svhn", "cifar-10")
STAT = "ab/nn/stat/train/img-classification_{}_acc_{}/{}.json"


def make_mirror(folder: Path) -> Path:
    """Create a database in `folder` with these networks' trials on three data sets."""
    wanted = {
        *(f"ab/nn/nn/{name}.py" for name in NETWORKS),
        *(STAT.format(d, n, e) for d in DATASETS for n in NETWORKS for e in range(1, 51)),
    }
    with (
        zipfile.ZipFile(importer.download_corpus()) as whole,
        zipfile.ZipFile(folder / "part.whl", "w") as part,
    ):
        for name in whole.namelist():
            if name in wanted or name.startswith("ab/nn/transform/"):
                part.writestr(name, whole.read(name))
    source = open_source(folder / "part.whl")
    with Store.open(folder / "nngpt.db") as store:
        import_source(store.database, source)
    source.close()
    return folder
