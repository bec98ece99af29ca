"""Features of a network's source, read from its syntax tree without executing it.

Counted are layers by kind, literal widths, kernels and strides, skip connections, and training
settings. Sizes that the code computes are unknown, as in many hand-written networks of LEMUR, so
the number of parameters covers layers with literal sizes only.
"""

from __future__ import annotations

import ast
import math
import re
from collections import Counter, defaultdict
from functools import lru_cache

from nngpt.errors import DataError

_KINDS: dict[str, tuple[str, ...]] = {
    "convolutions": ("Conv1d", "Conv2d", "Conv3d", "LazyConv2d"),
    "transposed": ("ConvTranspose2d", "Upsample", "PixelShuffle"),
    "linear": ("Linear", "LazyLinear"),
    "batch_norms": ("BatchNorm1d", "BatchNorm2d", "LazyBatchNorm2d", "SyncBatchNorm"),
    "other_norms": ("LayerNorm", "GroupNorm", "InstanceNorm2d", "LocalResponseNorm", "RMSNorm"),
    "pools": ("MaxPool2d", "AvgPool2d", "LPPool2d", "FractionalMaxPool2d"),
    "global_pools": ("AdaptiveAvgPool2d", "AdaptiveMaxPool2d"),
    "dropouts": ("Dropout", "Dropout2d", "AlphaDropout", "StochasticDepth", "DropPath"),
    "relus": ("ReLU", "ReLU6", "LeakyReLU", "PReLU"),
    "smooth_activations": ("GELU", "SiLU", "Mish", "ELU", "SELU", "Hardswish", "Softplus"),
    "gates": ("Sigmoid", "Tanh", "Hardsigmoid", "Softmax"),
    "attention": ("MultiheadAttention", "TransformerEncoderLayer", "TransformerDecoderLayer"),
    "recurrent": ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell"),
    "embeddings": ("Embedding", "Parameter"),
    "containers": ("Sequential", "ModuleList", "ModuleDict"),
}
_KIND = {layer: kind for kind, layers in _KINDS.items() for layer in layers}
_JOINS = ("cat", "concat", "concatenate")
_OPTIMISERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adadelta")
_ADAPTIVE = frozenset({"adam", "adamw", "rmsprop", "nadam", "radam", "adamw8bit", "adagrad"})
_NAMES = {name.lower(): number for number, name in enumerate(_OPTIMISERS)}
_HUGE = 10**9
"""Numbers from here on are ignored: they are no layer size, and may not fit a float."""

NAMES: tuple[str, ...] = (
    *("lines", "classes", "modules", "functions", "loops", "branches", "dictionary_reads"),
    *("max_width", "median_width", "widest_ratio", "max_kernel", "strided", "depthwise"),
    *("residual_adds", "products", "concatenations", "interpolations", "literal_parameters"),
    *("optimiser", "adaptive", "schedule", "clipped", "weight_decay", "label_smoothing"),
    *("mixed_precision", "pretrained"),
    *_KINDS,
)
"""Names of the features, in order."""


@lru_cache(maxsize=32_768)
def features(source: str) -> tuple[float, ...]:
    """Return a network's code features, ordered as `NAMES`; NaN if unknown. Raises: DataError."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or str(error) or type(error).__name__
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        raise DataError(f"the code cannot be read: {reason}{line}") from None
    found = _Counts(tree).values()
    return tuple(float(found.get(name, 0.0)) for name in NAMES)


def defines_network(source: str) -> bool:
    """Return True if code to extract features of defines `Net` or a subclass of `Module`."""
    if features(source)[NAMES.index("modules")] > 0:
        return True
    return any(isinstance(n, ast.ClassDef) and n.name == "Net" for n in ast.parse(source).body)


def kind_of_network(source: str, task: str) -> str:
    """Return the feature "kind" of a network's code: `detector`, `transformer`, `cnn` …

    Recognised by the task, names and layers; the accuracy predictor of the papers is split so.
    """
    called = _Counts(ast.parse(source)).called.keys()
    if "detect" in task or re.search(r"\b(SSD|YOLO|RCNN|RetinaNet)\b", source, re.IGNORECASE):
        return "detector"
    if "segment" in task or re.search(r"\b(FCN|DeepLab|UNet|LRASPP)\b", source, re.IGNORECASE):
        return "segmentation"
    if re.search(r"\b(Transformer|MultiheadAttention|ViT|Swin)\b", source):
        return "transformer"
    if called & {"LSTM", "GRU", "RNN"}:
        return "rnn"
    return "cnn" if "Conv2d" in called else "other"


class _Counts:
    """Counts over the syntax tree of a network."""

    def __init__(self, tree: ast.Module) -> None:
        self.nodes = list(ast.walk(tree))
        self.calls = [node for node in self.nodes if isinstance(node, ast.Call)]
        self.called = Counter(_last_name(call.func) for call in self.calls)
        self.lines = max((getattr(node, "end_lineno", 0) or 0 for node in tree.body), default=0)

    def values(self) -> dict[str, float]:
        """Return the features by name; those that are 0 may be missing."""
        return {**self._shape(), **self._layers(), **self._joins(), **self._training()}

    def _shape(self) -> dict[str, float]:
        kinds = Counter(type(node) for node in self.nodes)
        classes = [node for node in self.nodes if isinstance(node, ast.ClassDef)]
        return {
            "lines": math.log1p(self.lines),
            "classes": len(classes),
            "modules": sum(any(_last_name(b) == "Module" for b in c.bases) for c in classes),
            "functions": kinds[ast.FunctionDef],
            "loops": kinds[ast.For] + kinds[ast.ListComp] + kinds[ast.GeneratorExp],
            "branches": kinds[ast.If] + kinds[ast.IfExp],
            "dictionary_reads": sum(
                isinstance(node, ast.Subscript) and _last_name(node.value) == "prm"
                for node in self.nodes
            ),
        }

    def _layers(self) -> dict[str, float]:
        found: defaultdict[str, float] = defaultdict(float)
        widths: list[int] = []
        parameters = 0.0
        for call in self.calls:
            kind = _KIND.get(_last_name(call.func))
            if kind is None:
                continue
            found[kind] += 1
            numbers = [n for n in map(_integer, call.args) if n is not None]
            named = {k.arg: n for k in call.keywords if (n := _integer(k.value)) is not None}
            if kind in ("convolutions", "linear", "transposed"):
                widths += numbers[:2]
                parameters += _weights(kind, call, named)
                kernel = named.get("kernel_size", _integer_at(call, 2)) or 0
                if kind == "convolutions":
                    found["max_kernel"] = max(found["max_kernel"], kernel)
                    groups = [k.value for k in call.keywords if k.arg == "groups"]
                    found["depthwise"] += bool(groups) and _integer(groups[0]) != 1
            stride = named.get("stride", _integer_at(call, 3) if kind == "convolutions" else None)
            found["strided"] += (stride or 1) > 1
        found["max_width"] = math.log2(max(widths)) if widths and max(widths) > 0 else math.nan
        middle = sorted(widths)[len(widths) // 2] if widths else 0
        found["median_width"] = math.log2(middle) if middle > 0 else math.nan
        found["widest_ratio"] = found["max_width"] - found["median_width"]
        found["literal_parameters"] = math.log10(parameters) if parameters else math.nan
        return found

    def _joins(self) -> dict[str, float]:
        functions = [node for node in self.nodes if isinstance(node, ast.FunctionDef)]
        forwards = [f for f in functions if f.name.startswith(("forward", "_forward"))]
        inner = [node for function in forwards for node in ast.walk(function)]
        joins = [node for node in inner if isinstance(node, ast.BinOp | ast.AugAssign)]
        return {
            "residual_adds": sum(
                isinstance(node.op, ast.Add) and not _has_literal(node) for node in joins
            ),
            "products": sum(isinstance(node.op, ast.Mult | ast.MatMult) for node in joins),
            "concatenations": sum(self.called[name] for name in _JOINS),
            "interpolations": self.called["interpolate"],
        }

    def _training(self) -> dict[str, float]:
        names = self.called.keys()
        optimisers = {_NAMES.get(name.lower().removesuffix("8bit"), len(_NAMES)) for name in names}
        keywords = {k.arg: k.value for call in self.calls for k in call.keywords}
        return {
            "optimiser": min(optimisers, default=len(_NAMES)),
            "adaptive": any(name.lower() in _ADAPTIVE for name in names),
            "schedule": sum(name.endswith(("LR", "Restarts", "OnPlateau")) for name in names),
            "clipped": "clip_grad_norm_" in names or "clip_grad_value_" in names,
            "weight_decay": _float(keywords.get("weight_decay")),
            "label_smoothing": _float(keywords.get("label_smoothing")),
            "mixed_precision": "autocast" in names or "GradScaler" in names,
            "pretrained": "weights" in keywords or "pretrained" in keywords,
        }


def _last_name(node: ast.expr) -> str:
    """Return the last part of a dotted name: `Conv2d` of `torch.nn.Conv2d`; "" if it is no name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _integer(node: ast.expr | None) -> int | None:
    """Return the value of an integer literal, or the largest of a tuple; None otherwise."""
    if isinstance(node, ast.Tuple | ast.List):
        return max((n for n in map(_integer, node.elts) if n is not None), default=None)
    if isinstance(node, ast.Constant) and type(node.value) is int and node.value < _HUGE:
        return node.value
    return None


def _integer_at(call: ast.Call, place: int) -> int | None:
    return _integer(call.args[place]) if len(call.args) > place else None


def _float(node: ast.expr | None) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value) if abs(node.value) < _HUGE else math.nan
    return 0.0 if node is None else math.nan


def _weights(kind: str, call: ast.Call, named: dict[str | None, int]) -> float:
    """Return the number of parameters of a layer if its sizes are literals, else 0."""
    into, out = _integer_at(call, 0), _integer_at(call, 1)
    if into is None or out is None:
        return 0.0
    if kind == "linear":
        return float(into * out)
    kernel = named.get("kernel_size") or _integer_at(call, 2) or 1
    return float(into * out * kernel * kernel) / max(1, named.get("groups", 1))


def _has_literal(node: ast.BinOp | ast.AugAssign) -> bool:
    """Return True for a sum with a literal: arithmetic on sizes, not a skip connection."""
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
    return any(isinstance(side, ast.Constant) for side in sides)
