"""Extract the reference's targets: how many parse, are closed, and import with torch alone.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/rag_targets.py FOLDER [--download]
    [--package NAME …] [--every N]

FOLDER contains the sources as pip downloads them (`--download` fetches missing ones). The names of
the reference's blocks are those of nn-rag's repository (MIT), in `rag_block_names.json`. Extracted
files go to FOLDER/out, results to FOLDER/verdicts.json.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nngpt.errors import UserError
from nngpt.retrieval.extractor import Extractor
from nngpt.retrieval.library import Library
from nngpt.retrieval.sources import LibrarySource, open_source

PACKAGES = {
    "timm": "timm", "torchvision": "", "torch": "", "torch_geometric": "torch-geometric",
    "transformers": "transformers==4.56.2", "ultralytics": "ultralytics", "mmdet": "mmdet",
    "mmsegmentation": "mmsegmentation", "mmocr": "mmocr", "mmpose": "mmpose",
    "mmpretrain": "mmpretrain", "mmcv_lite": "mmcv-lite", "yolov5": "yolov5",
    "yolov7detect": "yolov7detect", "yolov9pip": "yolov9pip",
    "segment_anything": "segment-anything",
}  # fmt: skip
"""How the file of each package begins, and what pip calls it; "" for an installed one."""

HELPERS = {"mmengine": "mmengine", "einops": "einops", "addict": "addict", "packaging": "packaging"}
"""Not asked for targets, but followed."""

NEEDED_BY_TORCH = (
    "torch", "torchgen", "functorch", "typing_extensions.py", "sympy", "mpmath", "filelock",
    "fsspec", "jinja2", "markupsafe", "networkx", "nvidia", "cuda", "triton", "setuptools",
)  # fmt: skip


def main() -> None:
    """Extract and grade all targets, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the sources and results")
    parser.add_argument("--package", nargs="+", choices=PACKAGES)
    parser.add_argument("--every", type=int, default=1, help="extract only every Nth target")
    parser.add_argument("--download", action="store_true", help="download missing sources with pip")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.download:
        download(given.folder)
    started = time.process_time()
    sources = open_all(given.folder)
    extractor = Extractor(Library([*sources.values()]))
    names = json.loads(Path(__file__).with_name("rag_block_names.json").read_text())
    targets = [*find_targets(sources, names)]
    print(
        f"{len(targets)} targets of {len(names)} names; {time.process_time() - started:.1f} CPU-s"
    )
    if given.package:
        targets = [t for t in targets if t[0] in given.package]
    targets = targets[:: given.every]
    verdicts = extract_all(extractor, targets, given.folder / "out")
    grade(verdicts, given.folder)
    (given.folder / "verdicts.json").write_text(json.dumps(verdicts, indent=1))
    table(verdicts)


def download(folder: Path) -> None:
    """Download the packages that are not installed."""
    for start, name in (PACKAGES | HELPERS).items():
        if name and not any(folder.glob(f"{start}-*")):
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", folder, name]
            subprocess.run(command, check=True)


def open_all(folder: Path) -> dict[str, LibrarySource]:
    """Return every source by its name in `PACKAGES`."""
    sources = {}
    for start, name in (PACKAGES | HELPERS).items():
        place = str(next(folder.glob(f"{start}-*"))) if name else start
        sources[start] = open_source(place)
    return sources


def find_targets(
    sources: dict[str, LibrarySource], names: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Return package, module and name of each target, from the first package that defines it."""
    wanted = set(names)
    for package in PACKAGES:
        files = sources[package].files.values()
        # torch's layers have namesakes for quantisation, and autograd functions.
        for file in sorted(files, key=lambda f: (not _is_layer(f.module), f.module)):
            code = file.read().decode("utf-8", "replace")
            for name in re.findall(r"^class\s+(\w+)", code, re.M):
                if name in wanted:
                    wanted.discard(name)
                    yield package, file.module, name


def _is_layer(module: str) -> bool:
    return module.startswith("torch.nn.modules") and not module.endswith("._functions")


def extract_all(
    extractor: Extractor, targets: Sequence[tuple[str, str, str]], folder: Path
) -> list[dict[str, Any]]:
    """Extract all targets and write the files."""
    folder.mkdir(exist_ok=True)
    verdicts = []
    for package, module, name in targets:
        target = f"{module}.{name}"
        verdict: dict[str, Any] = {"package": package, "target": target, "name": name}
        started = time.process_time()
        try:
            extraction = extractor.extract(target)
        except UserError as error:
            verdict["refused"] = error.what
        else:
            verdict["seconds"] = time.process_time() - started
            file = folder / f"{target}.py"
            file.write_text(extraction.code)
            static = extraction.checked
            verdict |= {
                "file": str(file), "lines": extraction.code.count("\n"), "closed": static.closed,
                "parses": static.parses, "lazily": extraction.lazily, "static": asdict(static),
            }  # fmt: skip
        verdicts.append(verdict)
    return verdicts


def grade(verdicts: list[dict[str, Any]], folder: Path) -> None:
    """Import each file in a process that can import nothing but torch."""
    bare = folder / "bare"
    bare.mkdir(exist_ok=True)
    spec = find_spec("torch")
    assert spec is not None and spec.origin is not None
    site = Path(spec.origin).parent.parent
    for name in NEEDED_BY_TORCH:
        if (site / name).exists() and not (bare / name).exists():
            (bare / name).symlink_to(site / name)
    command = [
        sys.executable,
        "-S",
        "-I",
        str(Path(__file__).with_name("rag_grader.py")),
        str(bare),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdout.readline()
        for verdict in verdicts:
            if "file" not in verdict:
                continue
            request = {"file": verdict["file"], "name": verdict["name"]}
            child.stdin.write(json.dumps(request) + "\n")
            child.stdin.flush()
            verdict |= json.loads(child.stdout.readline())
        child.stdin.close()


def table(verdicts: list[dict[str, Any]]) -> None:
    """Print the rates per package, and the most frequent failures."""
    print("| package | targets | parse | closed | import | nn.Module | s/block (max) |")
    print("|---|---|---|---|---|---|---|")
    packages = [p for p in PACKAGES if any(v["package"] == p for v in verdicts)]
    for package in [*packages, "all"]:
        mine = [v for v in verdicts if package in (v["package"], "all")]
        seconds = [v["seconds"] for v in mine if "seconds" in v] or [0.0]
        counts = [
            sum(bool(v.get("parses")) for v in mine),
            sum(bool(v.get("closed")) for v in mine),
            sum("module" in v for v in mine),
            sum(bool(v.get("module")) for v in mine),
        ]
        cells = [f"{c} ({c / len(mine):.1%})" for c in counts]
        speed = f"{sum(seconds) / len(seconds):.3f} ({max(seconds):.2f})"
        print(f"| {package} | {len(mine)} | {' | '.join(cells)} | {speed} |")
    for kind in ("refused", "error"):
        reasons = collections.Counter(v[kind][:150] for v in verdicts if kind in v)
        print(f"\n{kind}:")
        for reason, count in reasons.most_common(45):
            print(f"{count:5} {reason}")
    open_ones = [v for v in verdicts if v.get("parses") and not v["closed"]]
    print("\nnot closed:")
    for verdict in open_ones[:60]:
        static = {k: s for k, s in verdict["static"].items() if s}
        print(f"      {verdict['target']}: {static}")


if __name__ == "__main__":
    main()
