"""Compare extracted blocks with their originals on the same weights and inputs.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/rag_equality.py FOLDER [--package NAME] [--every N]

Run it after `rag_targets.py FOLDER`. For each target of timm, torchvision and torch the original is
built with guessed arguments and run on guessed inputs. Where that works, the extracted file is
built with the same arguments, gets the original's state_dict, and must give the same output. timm
and torchvision cannot be imported by then. Each target runs in a contained process of its own.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib
import importlib.abc
import importlib.util
import inspect
import io
import itertools
import json
import os
import random
import re
import signal
import sys
import types
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rag_grader import contain
from torch import nn

PACKAGES = ("timm", "torchvision", "torch")
LIMIT_S = 40

Arguments = dict[str, Any]


def main() -> None:
    """Grade all targets and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of rag_targets.py")
    parser.add_argument("--package", choices=PACKAGES)
    parser.add_argument("--every", type=int, default=1, help="test only every Nth target")
    given = parser.parse_args()
    sys.path += [str(p) for p in given.folder.glob("timm-*.whl")]
    torch.set_num_threads(1)
    for package in PACKAGES:
        importlib.import_module(package)
    verdicts = json.loads((given.folder / "verdicts.json").read_text())
    chosen = [given.package] if given.package else PACKAGES
    verdicts = [v for v in verdicts if v["package"] in chosen][:: given.every]
    results = [forked(verdict) for verdict in verdicts]
    (given.folder / "equality.json").write_text(json.dumps(results, indent=1))
    table(results)


def table(results: Sequence[dict[str, str]]) -> None:
    """Print how many originals ran, and how many files gave the same output."""
    print("| package | targets | original builds | and runs | equal |\n|---|---|---|---|---|")
    for package in [*PACKAGES, "all"]:
        mine = [r for r in results if package in (r["package"], "all")]
        if not mine:
            continue
        built = [r for r in mine if r["outcome"] != "original does not build"]
        ran = [r for r in built if r["outcome"] != "original does not run"]
        equal = [r for r in ran if r["outcome"] == "equal"]
        rate = f"{len(equal) / len(ran):.1%}" if ran else "–"
        print(f"| {package} | {len(mine)} | {len(built)} | {len(ran)} | {len(equal)} ({rate}) |")
    print(collections.Counter(r["outcome"] for r in results))
    for result in results:
        if not result["outcome"].startswith(("equal", "original")):
            print(f"{result['target']}: {result['outcome']}: {result.get('why', '')}")


def forked(verdict: dict[str, Any]) -> dict[str, str]:
    """Return the result of one target, computed in a process of its own."""
    known = {"package": verdict["package"], "target": verdict["target"]}
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT_S)
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                contain([str(Path(verdict.get("file", ".")).parent)])
                answer = compared(verdict)
            except BaseException as error:  # noqa: BLE001 (the grader's boundary)
                answer = {"outcome": "grader failed", "why": repr(error)[:300]}
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        raw = pipe.read()
    os.waitpid(child, 0)
    return known | (json.loads(raw) if raw else {"outcome": "original does not run", "why": "time"})


def compared(verdict: dict[str, Any]) -> dict[str, str]:
    """Build and run the original, then the file, and compare the outputs."""
    module, _, name = verdict["target"].rpartition(".")
    try:
        first = getattr(importlib.import_module(module), name)
    except ImportError as error:
        return {"outcome": "original does not build", "why": str(error)}
    built = False
    for arguments in itertools.islice(candidates(first), 60):
        try:
            seed(0)
            one = first(**arguments).eval()
        except Exception:  # noqa: BLE001 (one of many guesses)
            continue
        built = True
        try:
            found = run(one)
        except (AttributeError, TypeError, ValueError):  # no forward, or one without a signature
            found = None
        if found is None:
            continue
        inputs, expected = found
        if "file" not in verdict:
            return {"outcome": "refused", "why": verdict.get("refused", "")}
        try:
            second = extracted(verdict["file"], name)
            seed(0)
            other = second(**arguments).eval()
            other.load_state_dict(one.state_dict())
            seed(1)
            with torch.no_grad():
                actual = other(*inputs())
        except Exception as error:  # noqa: BLE001 (the grader's boundary)
            return {"outcome": "file fails", "why": f"{type(error).__name__}: {error}"[:300]}
        return {"outcome": "equal" if same(expected, actual) else "differs"}
    return {"outcome": "original does not run" if built else "original does not build"}


class _Blocked(importlib.abc.MetaPathFinder):
    """Allow imports of torch, its dependencies and the standard library only."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.split(".")[0] in ("timm", "torchvision", "numpy", "PIL", "huggingface_hub"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def extracted(file: str, name: str) -> Any:
    """Return the class of an extracted file."""
    for known in list(sys.modules):
        if known.split(".")[0] in ("timm", "torchvision", "numpy", "PIL", "huggingface_hub"):
            del sys.modules[known]
    sys.meta_path.insert(0, _Blocked())
    spec = importlib.util.spec_from_file_location("extracted", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["extracted"] = module
    spec.loader.exec_module(module)
    return getattr(module, name)


# -- guesses ------------------------------------------------------------------------------------


def candidates(made: Any) -> Iterator[Arguments]:
    """Yield constructor arguments to try, most likely first."""
    signature = inspect.signature(made)
    needed = [p for p in signature.parameters.values() if required(p)]
    seen: list[str] = []
    for width, size, norm, pair in itertools.product(
        (16, 32, 64), (8, (8, 8), 16), (nn.BatchNorm2d, nn.LayerNorm), (False, True)
    ):
        arguments = {p.name: guess(p, width, size, norm, pair) for p in needed}
        if repr(arguments) not in seen:
            seen.append(repr(arguments))
            yield arguments


def required(parameter: inspect.Parameter) -> bool:
    """Return True if a parameter must be given."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in variadic


RULES: list[tuple[str, Any]] = [
    (r"norm", "norm"), (r"act", nn.ReLU), (r"(conv|linear)_layer", nn.Conv2d),
    (r"head_dim|dim_head", 8), (r"head", 4), (r"kernel", 3), (r"mlp_ratio|expan|ratio", 2.0),
    (r"stride|dilation|groups|cardinality|scale$|radix|mult", 1),
    (r"depth|layers|num_blocks|repeats|n_blocks", 2), (r"classes|num_embeddings", 10),
    (r"drop|prob|^p$|eps|momentum|alpha|lambd|gamma", 0.1),
    (r"size|resolution|shape$", "size"), (r"bias|use_|with_|is_|return_", False),
    (r"channels_list|in_channels_list|planes_list", "list"),
    (r"chan|chs|dim|feat|plane|width|embed|hidden|inp|oup|ch_|ch$|^c\d?$|model|in$|out$|size_out|units", "width"),  # noqa: E501
]  # fmt: skip


def guess(parameter: inspect.Parameter, width: int, size: Any, norm: Any, pair: bool) -> Any:
    """Return a value for a parameter, by its annotation and name."""
    note, name = str(parameter.annotation), parameter.name
    if "bool" in note and "Union" not in note:
        return False
    rule = next((value for pattern, value in RULES if re.search(pattern, name)), "width")
    value = {"width": width, "norm": norm, "size": size, "list": [width, width]}.get(
        str(rule), rule
    )
    if re.search(r"(List|list|Sequence|Tuple|tuple)\[int", note) and isinstance(value, int):
        return [value, value]
    if pair and rule in (1, 3) and "int" not in note:
        return (value, value)
    return value


def inputs_for(width: int) -> Iterator[list[int]]:
    """Yield input shapes to try."""
    yield from (
        [2, width, 16, 16], [2, 16, width], [2, width], [2, 16, 16, width], [2, 8, 8, width],
        [2, 64, width], [2, width, 8, 8], [2, width, 16], [2, width, 4, 8, 8], [2, 3, 64, 64],
        [1, 3, 224, 224], [2, 65, width], [2, 10, 10, width],
    )  # fmt: skip


def run(made: nn.Module) -> tuple[Any, Any] | None:
    """Return inputs on which a module runs (as a function that makes them), and its output."""
    needed = [p for p in inspect.signature(made.forward).parameters.values() if required(p)]
    names = [p.name for p in needed] or ["x"]
    for width in widths(made):
        for shape in inputs_for(width):
            for kind in ("float", "long", "list") if len(shape) == 2 else ("float", "list"):
                with contextlib.suppress(Exception), torch.no_grad():

                    def make(shape: Any = shape, kind: str = kind) -> list[Any]:
                        maker = torch.Generator().manual_seed(2)
                        return [
                            given(name, place, shape, kind, maker)
                            for place, name in enumerate(names)
                        ]

                    seed(1)
                    output = made(*make())
                    if any(True for _ in tensors(output)):
                        return make, output
    return None


def widths(made: nn.Module) -> list[int]:
    """Return channel counts to try: those of the module's first layers, then common ones."""
    found = []
    for layer in list(made.modules())[:12]:
        for name in ("in_channels", "in_features", "num_features"):
            if isinstance(width := getattr(layer, name, None), int):
                found.append(width)
    return list(dict.fromkeys([*found[:3], 16, 32, 64, 128]))


def given(name: str, place: int, shape: list[int], kind: str, maker: torch.Generator) -> Any:
    """Return the value of a parameter of `forward`; grid sides match 16 tokens."""
    if place and name.lower() in ("h", "w", "height", "width"):
        return 4
    if place and re.search("size|shape|resolution", name):
        return (4, 4)
    if kind == "long":
        return torch.randint(0, 4, shape, generator=maker)
    tensor = torch.rand(shape, generator=maker)
    return [tensor, torch.rand(shape, generator=maker)] if kind == "list" else tensor


def seed(number: int) -> None:
    """Seed every random generator that a module may use."""
    torch.manual_seed(number)
    random.seed(number)


def tensors(output: Any) -> Iterator[torch.Tensor]:
    """Yield all tensors of an output, in order."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, dict):
        for key in sorted(output, key=str):
            yield from tensors(output[key])
    elif isinstance(output, (list, tuple, types.GeneratorType)):
        for inner in output:
            yield from tensors(inner)
    elif hasattr(output, "__dict__"):
        yield from tensors(vars(output))


def same(first: Any, second: Any) -> bool:
    """Return True if two outputs contain the same tensors."""
    one, two = list(tensors(first)), list(tensors(second))
    pairs = zip(one, two, strict=False)
    return len(one) == len(two) and all(
        a.shape == b.shape and torch.allclose(a, b, equal_nan=True) for a, b in pairs
    )


if __name__ == "__main__":
    main()
