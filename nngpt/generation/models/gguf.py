"""Convert GGUF files to ordinary model folders in the cache.

`transformers` needs half a minute to dequantise even a small GGUF file and to rebuild its
tokenizer. The folder loads in a second or two, on any device, with any quantisation and with LoRA.
float16 keeps three more bits of each 4-bit weight's scale than bfloat16 would.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from pathlib import Path

from nngpt.files import cache_folder


def as_folder(file: Path) -> Path:
    """Return a folder with the file's weights (float16 safetensors), config and tokenizer.

    Converts on first use, under a lock, and renames the folder into place when complete.

    Raises:
        OSError, ValueError: the file cannot be read as a model.
    """
    stat = file.stat()
    identity = f"{file.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:12]
    target = cache_folder() / "models" / "converted" / f"{file.stem}-{key}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            _convert(file, target)
    return target


def _convert(file: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    draft = target.with_name(f".{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(
        **source, dtype=torch.float16, quantization_config=GgufConfig(dequantize=True)
    )
    # The saved weights are not quantised, and must not be loaded as if they were.
    model.config.quantization_config = None
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(draft)
    AutoTokenizer.from_pretrained(**source).save_pretrained(draft)
    draft.rename(target)
