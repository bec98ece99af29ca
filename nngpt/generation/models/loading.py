"""Load a base model and its tokenizer from a Hub id, folder, GGUF file or embedded name."""

from __future__ import annotations

import gc
import hashlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nngpt import files, gpus
from nngpt.config import LLMConfig
from nngpt.errors import ModelError
from nngpt.generation.models import embedded
from nngpt.records import canonical_json

_ARCHITECTURE = (
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
)
"""Keys that a LoRA adapter depends on; the others change with library versions."""


@dataclass
class LoadedBase:
    """A base model in memory.

    Attributes:
        name: name of the model, as in `llm.model`.
        digest: fingerprint of the architecture's configuration.
        model: a `transformers` causal language model, on its device.
        tokenizer: tokenizer of the model, padding on the left.
        facts: device, dtype and quantisation, for the user.
    """

    name: str
    digest: str
    model: Any
    tokenizer: Any
    facts: str


def load_base(config: LLMConfig) -> LoadedBase:
    """Load the base model and tokenizer with the configured device, dtype and quantisation.

    Raises: ModelError if the model is missing, cannot be read, or does not fit the device.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = choose_device(config.device)
    dtype = getattr(torch, config.dtype) if config.dtype != "auto" else _fastest_dtype(device)
    bits = _choose_bits(config.quantization, device)
    options = {**_source(config.model), "dtype": dtype}
    if bits:
        options |= _quantization(bits, device)
    with clear_memory("llm.model", "Free the GPU, or set llm.quantization=4bit."):
        model = _or_model_error(config.model, AutoModelForCausalLM.from_pretrained, **options)
        model = (model if bits else model.to(device)).eval()
    if bits == 4:
        _keep_gradients(model)
    kind = str(dtype).removeprefix("torch.") if bits == 0 else f"{bits}-bit base"
    place = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    facts = f"{config.model} on {place}, {kind}"
    return LoadedBase(
        config.model, _digest(model.config), model, load_tokenizer(config.model), facts
    )


def load_tokenizer(name: str) -> Any:
    """Load a base model's tokenizer, padding on the left. Raises: ModelError."""
    from transformers import AutoTokenizer

    tokenizer = _or_model_error(name, AutoTokenizer.from_pretrained, **_source(name))
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def quantization_of(name: str) -> str | None:
    """Return the quantisation of a base model's files ("bitsandbytes", "gptq" …), or None.

    None for GGUF files, which are always dequantised.

    Raises: ModelError if the model is missing.
    """
    from transformers import AutoConfig

    config = _or_model_error(name, AutoConfig.from_pretrained, **_source(name))
    found = getattr(config, "quantization_config", None)
    if found is None:
        return None
    facts = found if isinstance(found, dict) else found.to_dict()
    return str(facts.get("quant_method") or "unknown")


def choose_device(wanted: str) -> str:
    """Resolve a base model's "auto" to "cuda" or "cpu"; check "cuda". Raises: ModelError.

    "cuda" is the last of several GPUs from now on; the others are the sandbox's.
    """
    import torch

    if wanted != "cpu":
        gpus.take_last()
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            "no CUDA device here", where="llm.device", hint="Use device: auto or device: cpu."
        )
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def _fastest_dtype(device: str) -> Any:
    """Return bfloat16 if the hardware supports it; emulation would be 4 times slower."""
    import torch

    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    native = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return torch.bfloat16 if native.get("avx512_bf16") or native.get("amx_bf16") else torch.float32


def _choose_bits(wanted: str, device: str) -> int:
    """Return the bits of a quantised base, 0 for none; "auto" quantises on a GPU only."""
    import torch

    if wanted != "auto":
        return {"none": 0, "8bit": 8, "4bit": 4}[wanted]
    if device == "cpu":
        return 0
    gib = torch.cuda.get_device_properties(0).total_memory / 2**30
    return 4 if gib < 23 else 8 if gib < 40 else 0


def _quantization(bits: int, device: str) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` for an 8- or 4-bit base with bitsandbytes.

    Raises: ModelError if bitsandbytes is not installed.
    """
    import torch
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise ModelError(
            "4-bit and 8-bit bases need bitsandbytes",
            where="llm.quantization",
            hint="Install the extra cuda (pip install bitsandbytes), or use quantization: none.",
        )
    if bits == 8:
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True), "device_map": device}
    four = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
    return {"quantization_config": four, "device_map": device}


def _keep_gradients(model: Any) -> None:
    """Keep bitsandbytes from packing 4-bit weights when a CPU first writes.

    Packed weights are quicker, but pass no gradient on: only the last layers would learn.
    """
    from bitsandbytes.nn import Linear4bit

    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            layer.support_avx512bf16_for_cpu = False


def _source(name: str) -> dict[str, str]:
    """Return the argument of `from_pretrained` that names a model's folder or Hub id."""
    found = embedded.resolve(name)
    if isinstance(found, Path) and found.suffix == ".gguf":
        found = _or_model_error(name, _gguf_as_folder, file=found)
    return {"pretrained_model_name_or_path": str(found)}


def _gguf_as_folder(file: Path) -> Path:
    """Return an ordinary model folder of a GGUF file, converted to the cache on first use.

    `transformers` needs half a minute to dequantise even a small GGUF file and to rebuild its
    tokenizer. The folder loads in a second or two, on any device, with any quantisation and with
    LoRA. Its float16 weights keep three more bits of each 4-bit weight's scale than bfloat16 would.

    Raises: OSError, ValueError if the file cannot be read as a model.
    """
    stat = file.stat()
    identity = f"{file.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:12]
    target = files.cache_folder() / "models" / "converted" / f"{file.stem}-{key}"
    with files.locked(target.with_name(f"{target.name}.lock")):
        if not target.is_dir():
            _convert_gguf(file, target)
    return target


def _convert_gguf(file: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    print(f"Converting {file.name} for its first use; this takes a minute …", file=sys.stderr)
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    # On a terminal the bar of transformers stays; elsewhere it would be one line of kilobytes.
    with nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(
            **source, dtype=torch.float16, quantization_config=GgufConfig(dequantize=True)
        )
    # The saved weights are not quantised, and must not be loaded as if they were.
    model.config.quantization_config = None
    del model.config.quantization_config
    model.hf_quantizer = None
    with files.scratch(target) as draft:
        model.save_pretrained(draft)
        AutoTokenizer.from_pretrained(**source).save_pretrained(draft)
        files.publish(draft, target)


@contextmanager
def clear_memory(setting: str, hint: str) -> Iterator[None]:
    """Release a model's GPU memory at the end; turn running out of memory into a clear error.

    Raises: ModelError if the memory is not enough; `setting` and `hint` become its where and hint.
    """
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        what = f"the GPU's memory is not enough ({str(error)[:120]})"
        raise ModelError(what, where=setting, hint=hint) from None
    finally:
        gc.collect()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()


def _or_model_error(name: str, load: Any, **options: Any) -> Any:
    """Call a loader; turn its failures into a ModelError."""
    from safetensors import SafetensorError

    faults = (OSError, ValueError, ImportError, KeyError, NotImplementedError, SafetensorError)
    try:
        return load(**options)
    except faults as error:
        what = f"model {name!r} cannot be loaded ({str(error)[:300]})"
        raise ModelError(what, where="llm.model", hint="Known names: nngpt models list.") from error


def _digest(config: Any) -> str:
    """Return the fingerprint of a model's architecture."""
    facts = {key: getattr(config, key, None) for key in _ARCHITECTURE}
    return hashlib.sha256(canonical_json(facts).encode()).hexdigest()[:16]
