"""Select the blocks of indexed libraries that prompts show (NN-RAG)."""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from contextlib import closing

from nngpt.config import Config, PromptConfig
from nngpt.errors import ConfigError
from nngpt.files import DATABASE
from nngpt.generation.contract.safety import check_safety
from nngpt.records import ShownBlock
from nngpt.retrieval import index
from nngpt.retrieval.closure import ExtractionRefused
from nngpt.retrieval.extractor import Extractor
from nngpt.retrieval.library import Library
from nngpt.retrieval.search import search
from nngpt.store.database import Database, open_database

_POOL_FACTOR = 8
"""Number of suitable blocks to collect per block that a prompt shows."""


def indexed_blocks(config: Config) -> list[ShownBlock]:
    """Return the library blocks that prompts may show; empty unless `prompt.retrieve` is set.

    Raises: UserError if the run's database has no index, or no indexed block suits.
    """
    if not config.prompt.retrieve or "retrieval" in config.without:
        return []
    path = config.folder / DATABASE
    if not path.exists():
        hint = f"Index some: nngpt rag index torchvision --folder {config.folder}"
        raise ConfigError(f"no block is indexed in {path}", where="prompt.retrieve", hint=hint)
    with closing(open_database(path, create=False)) as database:
        return find_blocks(database, config.prompt)


def find_blocks(database: Database, config: PromptConfig) -> list[ShownBlock]:
    """Return the library blocks from which a run's prompts choose, the best match first.

    Each is a self-contained file that passes the candidates' safety check and is short enough.

    Raises:
        UserError: no block is indexed.
        ConfigError: too few indexed blocks suit.
    """
    extractor = Extractor(Library(index.sources(database)))
    known = index.blocks(database)
    allowed = [b for b in known if config.retrieve_copyleft or not b.copyleft]
    found: list[ShownBlock] = []
    for hit in search(allowed, config.retrieve_for, len(allowed)):
        block = _extract(extractor, hit.block, config.retrieve_chars)
        if block is not None and block.name not in {other.name for other in found}:
            found.append(block)
        if len(found) == _POOL_FACTOR * config.retrieve:
            break
    if len(found) < config.retrieve:
        raise ConfigError(
            f"{len(found)} of {len(allowed):,} indexed blocks suit {config.retrieve_for!r}",
            where="prompt.retrieve",
            hint="Index more (nngpt rag index), or change prompt.retrieve_for or retrieve_chars",
        )
    return found


def sample_blocks(pool: Sequence[ShownBlock], count: int, seed: int) -> tuple[ShownBlock, ...]:
    """Sample up to `count` library blocks for a prompt that define no name differently."""
    chosen: list[ShownBlock] = []
    taken: dict[str, str] = {}
    for block in random.Random(seed).sample(list(pool), len(pool)):
        if len(chosen) == count:
            break
        own = _definitions(block.code)
        if all(taken.get(name, text) == text for name, text in own.items()):
            chosen.append(block)
            taken |= own
    return tuple(chosen)


def _extract(extractor: Extractor, block: index.LibraryBlock, longest: int) -> ShownBlock | None:
    """Extract a block as a file, None if the file is too long, incomplete or unsafe."""
    try:
        found = extractor.extract(block.target)
    except ExtractionRefused:
        return None
    whole = found.checked.closed and not found.lazily and not found.checked.beyond.compiled
    if len(found.code) > longest or not whole:
        return None
    if check_safety(ast.parse(found.code)) is not None:
        return None
    return ShownBlock(
        found.name,
        found.target,
        block.version,
        " AND ".join(found.licences),
        found.sha256,
        found.code,
    )


def _definitions(code: str) -> dict[str, str]:
    """Return the definition text of each name that a file binds at module level."""
    found: dict[str, str] = {}
    for node in ast.parse(code).body:
        text = ast.unparse(node)
        if isinstance(node, ast.Import):
            found.update({(n.asname or n.name).partition(".")[0]: n.name for n in node.names})
        elif isinstance(node, ast.ImportFrom):
            found.update({n.asname or n.name: f"{node.module}.{n.name}" for n in node.names})
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = text
        else:
            stored = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
            found.update({n.id: text for n in stored if isinstance(n.ctx, ast.Store)})
    return found
