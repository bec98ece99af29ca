"""Read and write the JSONL parts of a corpus."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nngpt.errors import UserError
from nngpt.files import publish, scratch

Line = dict[str, Any]


def read_lines(file: Path) -> list[Line]:
    """Return the lines of a part of a corpus. Raises: UserError."""
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(file)) from None
    except ValueError as error:
        raise UserError(f"not lines of JSON ({error})", where=str(file)) from None


def write_parts(folder: Path, parts: Mapping[str, Sequence[Line]]) -> None:
    """Write the parts of a corpus by file name, all or none of them. Raises: UserError."""
    target = folder.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch(target) as draft:
            for name, lines in parts.items():
                texts = (json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
                (draft / name).write_text("".join(texts), encoding="utf-8")
            publish(draft, target)
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror})", where=str(folder)) from None
