"""The ground of the fuzz: good inputs of every kind, and bad files of every kind.

Bad files are described by functions that write them, so that a test makes only those it needs.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from command_line import ANSWERS
from report_samples import open_store, three_arms

from nngpt import config
from nngpt.prediction import features
from nngpt.prediction.hpo.trial_features import NAMES
from nngpt.store.lemur.importer import import_source, open_source

ADAPTER = "smollm2-135m-lemur"
NETWORK = """
import torch.nn as nn
def supported_hyperparameters():
    return {"lr", "momentum"}
class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.layer = nn.Linear(4, 2)
    def forward(self, x):
        return self.layer(x)
    def train_setup(self, prm):
        pass
    def learn(self, train_data):
        pass
"""
PAIR = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
SETTINGS: dict[str, Any] = {
    "task": {"train_limit": 64, "validation_limit": 64},
    "prompt": {"template": "features"},
    "llm": {"backend": "scripted", "options": {"script": "answers.jsonl"}},
    "learning": {"enabled": False},
    "cycles": 1,
    "candidates": {"per_cycle": 2},
}
GRID = {"name": "grid", "config": "good.yaml", "arms": {"one": None, "two": {"seed": 2}}}
STAT = "ab/nn/stat/train/img-classification_mnist_acc_Tiny/1.json"

Write = Callable[[Path], None]


def make_ground(ground: Path) -> None:
    """Write good inputs, and a database with a run and a tiny LEMUR mirror."""
    (ground / "good.yaml").write_text(yaml.safe_dump(SETTINGS))
    (ground / "grid.yaml").write_text(yaml.safe_dump(GRID))
    (ground / "answers.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in ANSWERS))
    (ground / "good.py").write_text(NETWORK)
    (ground / "good.jsonl").write_text(json.dumps(PAIR) + "\n")
    (ground / "taken").write_text("a file\n")
    (ground / "filled").mkdir()
    (ground / "filled" / "there").write_text("")
    (ground / "library").mkdir()
    (ground / "library" / "blocks.py").write_text(
        "import torch.nn as nn\nclass Block(nn.ReLU): ...\n"
    )
    with zipfile.ZipFile(ground / "part.whl", "w") as wheel:
        wheel.writestr("ab/nn/nn/Tiny.py", NETWORK)
        trial = {"accuracy": 0.5, "lr": 0.1, "batch": 8, "transform": "norm", "uid": "1"}
        wheel.writestr(STAT, json.dumps([trial]))
    (ground / "runs").mkdir()
    with open_store(ground / "runs") as store:
        three_arms(store)
        source = open_source(ground / "part.whl")
        import_source(store.database, source)
        source.close()


def _text(text: str) -> Write:
    return lambda path: _void(path.write_text(text, encoding="utf-8"))


def _bytes(data: bytes) -> Write:
    return lambda path: _void(path.write_bytes(data))


def _void(_: object) -> None:
    return None


def _folder(path: Path) -> None:
    path.mkdir()


def _unreadable(path: Path) -> None:
    """A file that cannot be read; for root, who reads everything, a link to nowhere."""
    path.write_text("secret")
    path.chmod(0)
    if os.access(path, os.R_OK):
        path.unlink()
        path.symlink_to("nowhere")


ANY: dict[str, Write] = {
    "a folder": _folder,
    "unreadable": _unreadable,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "random bytes": _bytes(bytes(range(256)) * 9),
    "a pipe": os.mkfifo,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
}
"""Faults of every input file."""

_LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
YAML: dict[str, Write] = {
    "a billion laughs": _text(_LAUGHS + "name: *a9\n"),
    "an alias of itself": _text("name: &a [*a]\n"),
    "an alias of nothing": _text("name: *nothing\n"),
    "700,000 keys": lambda path: _void(
        path.write_text("".join(f"k{n}: 1\n" for n in range(700_000)))
    ),
    "12,000 unknown keys": _text("".join(f"k{n}: 1\n" for n in range(12_000))),
    "100 unknown keys": _text("".join(f"k{n}: 1\n" for n in range(100))),
    "a text of 10 MB": _text(f"name: {'a' * 10_000_000}\n"),
    "a text of 200 kB": _text(f"name: {'a' * 200_000}\n"),
    "20,000 lists": _text(f"name: {'[' * 20_000}\n"),
    "3,000 maps": _text("".join(" " * n + "a:\n" for n in range(3000))),
    "100 lists": _text(f"name: {'[' * 100}{']' * 100}\n"),
    "a date for a number": _text("seed: 2020-01-01\n"),
    "an impossible date": _text("seed: 2020-13-45\n"),
    "5,000 digits": _text(f"seed: {'9' * 5000}\n"),
    "30 digits": _text(f"cycles: {'9' * 30}\n"),
    "not a number": _text("task: {threshold: .nan}\n"),
    "an overflowing time": _text(f"seed: {':'.join(['59'] * 300)}.5\n"),
    "a Python object": _text('name: !!python/object/apply:os.system ["touch evil"]\n'),
    "a tagged date": _text('seed: !!timestamp "soon"\n'),
    "a tagged number": _text('seed: !!int ""\n'),
    "NUL in a path": _text('folder: "a\\0b"\n'),
    "a name too long": _text(f"folder: {'a' * 300}\n"),
    "a path too long": _text(f"folder: {'a/' * 3000}\n"),
    "escape bytes in a name": _text('name: "\\e[31mred"\n'),
    "a list": _text("- 1\n"),
    "a scalar": _text("12\n"),
    "a section that is a list": _text("task: [1]\n"),
    "a key that is a list": _text("[1, 2]: 3\n"),
    "a key that is a number": _text("1: 3\n"),
    "a tab": _text("task:\n\tdataset: mnist\n"),
    "an open bracket": _text("task: {dataset: mnist\n"),
    "Latin-1": _bytes("name: Größe\n".encode("latin-1")),
    "UTF-16": _bytes("name: x\n".encode("utf-16")),
    "a NUL byte": _bytes(b"name: a\0b\n"),
}
"""Bad configurations."""

GRIDS: dict[str, Write] = {
    "arms that are a list": _text("name: g\nconfig: good.yaml\narms: [a]\n"),
    "a seed of 5,000 digits": _text(
        f"name: g\nconfig: good.yaml\narms: {{a: null}}\nseeds: [{'9' * 5000}]\n"
    ),
    "an unknown configuration": _text("name: g\nconfig: none\narms: {a: null}\n"),
    "a setting nested deeply": _text(
        f"name: g\nconfig: good.yaml\narms: {{a: {{name: {'[' * 45}{']' * 45}}}}}\n"
    ),
}
"""Bad grids of experiments; the kinds of `YAML` are bad grids, too."""

JSONL: dict[str, Write] = {
    "empty": _text(""),
    "empty lines": _text("\n\n"),
    "not JSON": _text("{]\n"),
    "a list": _text("[]\n"),
    "nested deeply": _text("[" * 100_000 + "\n"),
    "nested deeply in a key": _text('{"text": ' + "[" * 50_000 + "]" * 50_000 + "}\n"),
    "5,000 digits": _text(f'{{"accuracy": {"9" * 5000}}}\n'),
    "wrong types": _text('{"text": null, "messages": 3, "completion": 5, "code": [1]}\n'),
    "cut off": _text('{"text": "a'),
    "Latin-1": _bytes(b'{"text": "\xe4"}\n'),
}
"""Bad files of answers or training pairs."""

GZIP: dict[str, Write] = {
    "cut off": _bytes(gzip.compress(json.dumps(PAIR).encode() * 500)[:60]),
    "not gzip": _text("no\n"),
    "a bomb": lambda path: _void(path.write_bytes(gzip.compress(b" " * (40 << 20)))),
}
"""Bad compressed training pairs."""

PYTHON: dict[str, Write] = {
    "empty": _text(""),
    "not Python": _text("class Net(:\n"),
    "nested deeply": _text("x = " + "(" * 5000 + ")" * 5000 + "\n"),
    "many operators": _text("x = " + "-" * 100_000 + "1\n"),
    "NUL bytes": _bytes(b"class Net:\0\n"),
    "5,000 digits": _text(f"x = {'9' * 5000}\n"),
    "without a network": _text("x = 1\n"),
    "Latin-1": _bytes(b"# \xe4\n"),
    "20 MB": lambda path: _void(path.write_text("x = 1\n" * 3_500_000)),
}
"""Bad files of networks."""


def _zip(name: str, content: str | bytes, **others: str) -> Write:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(name, content)
            for other, text in others.items():
                file.writestr(other, text)

    return write


def _bomb(name: str) -> Write:
    """A zip with a member of 100 MB, more than is read."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            file.writestr(name, bytes(100 << 20))

    return write


def _models(name: str, index: dict[str, Any], wrong: dict[str, Any]) -> dict[str, Write]:
    """Bad model files whose index has this name; `wrong` are values of the wrong type."""
    return {
        "empty": _text(""),
        "no zip": _text("PK\3\4 no\n"),
        "without an index": _zip("other.txt", "x"),
        "an index that is no JSON": _zip(name, "{"),
        "an index nested deeply": _zip(name, "[" * 100_000),
        "an index that is a list": _zip(name, "[]"),
        "of another version": _zip(name, json.dumps({**index, "format": 99})),
        "without keys": _zip(name, json.dumps({k: index[k] for k in index if k not in wrong})),
        "without models": _zip(name, json.dumps(index)),
        "cut off": lambda path: _void(path.write_bytes(_whole(name, index)[:-30])),
        "a bomb": _bomb(name),
        **{
            f"{key} of a wrong type": _zip(name, json.dumps({**index, key: value}))
            for key, value in wrong.items()
        },
    }


def _whole(name: str, index: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, json.dumps(index))
    return file.getvalue()


_PLACE = "img-classification/mnist/acc"
_FACTORS = {"accuracy": [1.0, 2.0], "stop": [1.0, None]}
PREDICTORS = _models(
    "predictor.json",
    {
        "format": 1,
        "features": list(features.STATIC),
        "card": {},
        "places": [_PLACE],
        "transforms": {},
        "factors": {"familiar": {"0": _FACTORS}, "strange": {"0": _FACTORS}},
    },
    {"card": [1], "places": {"a": 1}, "transforms": {"norm": [1.0]}, "factors": {"familiar": [1]}},
)
"""Bad files of the accuracy predictor."""

SURROGATES = _models(
    "hpo.json",
    {
        "format": 1,
        "names": list(NAMES),
        "card": {},
        "words": [[_PLACE], ["norm"]],
        "sources": {},
        "factors": {"1": 1.0},
    },
    {"card": 3, "words": [1, 2], "sources": [1], "factors": {"x": "y"}},
)
"""Bad files of the surrogate."""


def _adapter(name: str = "", content: str | None = None, **changes: Any) -> Write:
    """Write an adapter like the shipped one; one of its files is replaced or missing."""

    def write(path: Path) -> None:
        path.mkdir()
        shipped = config.SHIPPED / ADAPTER
        for known in ("nngpt.json", "adapter_config.json", "adapter_model.safetensors"):
            if known != name:
                (path / known).symlink_to(shipped / known)
            elif changes:
                values = json.loads((shipped / known).read_text())
                (path / known).write_text(json.dumps(values | changes))
            elif content is not None:
                (path / known).write_text(content)

    return write


def _pickled(path: Path) -> None:
    _adapter("adapter_model.safetensors")(path)
    (path / "adapter_model.bin").write_bytes(b"cos\nsystem\n(S'touch evil'\ntR.")


_CONFIG, _LINEAGE, _WEIGHTS = "adapter_config.json", "nngpt.json", "adapter_model.safetensors"
_HEADER = json.dumps({"x.lora_A": {"dtype": "F32", "shape": [9, 9], "data_offsets": [0, 324]}})
ADAPTERS: dict[str, Write] = {
    "empty": _folder,
    "a file": _text("x"),
    "of rank -5": _adapter(_CONFIG, r=-5),
    "of rank 0": _adapter(_CONFIG, r=0),
    "of rank 8, which its weights have not": _adapter(_CONFIG, r=8),
    "of rank 1e12": _adapter(_CONFIG, r=10**12),
    "of a rank that is text": _adapter(_CONFIG, r="many"),
    "not LoRA": _adapter(_CONFIG, peft_type="IA3"),
    "without configuration": _adapter(_CONFIG),
    "with a configuration that is no JSON": _adapter(_CONFIG, "{"),
    "with a configuration that is a list": _adapter(_CONFIG, "[]"),
    "with a configuration nested deeply": _adapter(_CONFIG, "[" * 100_000),
    "without lineage": _adapter(_LINEAGE),
    "with a lineage nested deeply": _adapter(_LINEAGE, "[" * 100_000),
    "with a lineage that is a list": _adapter(_LINEAGE, "[]"),
    "with a lineage of wrong types": _adapter(_LINEAGE, pairs="many", tokens=None),
    "with a lineage without keys": _adapter(_LINEAGE, "{}"),
    "without weights": _adapter(_WEIGHTS),
    "with a pickle": _pickled,
    "with weights that are no safetensors": _adapter(_WEIGHTS, "no"),
    "with a header too long": _adapter(_WEIGHTS, "\x7f" * 100),
    "with weights cut off": _adapter(
        _WEIGHTS, len(_HEADER).to_bytes(8, "little").decode("latin-1") + _HEADER
    ),
}
"""Bad adapters."""

LEMUR: dict[str, Write] = {
    "empty": _text(""),
    "no archive": _text("x\n"),
    "an empty archive": _bytes(b"PK\5\6" + bytes(18)),
    "another archive": _zip("other.txt", "x"),
    "an archive cut off": _bytes(_whole("ab/nn/nn/A.py", {})[:-10]),
    "an empty folder": _folder,
    "another database": lambda path: sqlite3.connect(path).execute("create table x (y)").close(),
}
"""Bad sources of a LEMUR import."""

LIBRARIES: dict[str, Write] = {
    "empty.whl": _text(""),
    "wheel.whl": _zip("readme.txt", "x"),
    "cut.zip": _bytes(_whole("a/b.py", {})[:-10]),
    "cut.tar.gz": _bytes(gzip.compress(b"x" * 2000)[:40]),
    "no.tar.gz": _text("x"),
    "folder": _folder,
    "file.py": _text("x = 1"),
    "device.whl": ANY["an endless device"],
    "pipe.zip": os.mkfifo,
    "bomb.whl": _bomb("lib-1.dist-info/METADATA"),
}
"""Bad libraries, by file name."""

DATABASES: dict[str, Write] = {
    "an empty folder": _folder,
    "a file": _text("x"),
    "garbage": lambda path: _database(path, b"no database " * 500),
    "an empty database": lambda path: _database(path, b""),
    "another program's": lambda path: _foreign(path),
    "a folder as database": lambda path: (path / "nngpt.db").mkdir(parents=True),
    "a header alone": lambda path: _database(path, b"SQLite format 3\0" + bytes(84)),
}
"""Bad folders of a database."""


def _database(path: Path, content: bytes) -> None:
    path.mkdir()
    (path / "nngpt.db").write_bytes(content)


def _foreign(path: Path) -> None:
    path.mkdir()
    with closing(sqlite3.connect(path / "nngpt.db")) as db, db:
        db.execute("create table bookmarks (url)")
    db.close()


ROOTS: dict[str, Write] = {"an empty folder": _folder, "a file": _text("x")}
"""Bad folders of a data set's own files."""

FOLDS: dict[str, Write] = {
    "not JSON": _text("{"),
    "a list": _text("[]"),
    "nested deeply": _text("[" * 100_000),
    "wrong types": _text('{"sha256": 1, "components": {"a": 1}}'),
}
"""Bad files of folds."""
