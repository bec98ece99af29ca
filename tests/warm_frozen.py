"""Imported last by the warm process: does what each fork would do again, and freezes the heap.

The command line is built, statements are compiled, and the bytes of an empty database are kept.
"""

import tempfile
from pathlib import Path

import store_samples
import warm

from nngpt.cli.main import command_line
from nngpt.store import database

command_line()
with (
    tempfile.TemporaryDirectory() as folder,
    store_samples.open_new(Path(folder) / "nngpt.db") as store,
):
    run = store_samples.start(store)
    with store.lease(run.id) as lease:
        store_samples.admit(lease, store_samples.write(lease)[0])
    store.attempts(run.id)
    store.summary(run.id)
database._initialise = store_samples.copy_empty
warm.freeze()
