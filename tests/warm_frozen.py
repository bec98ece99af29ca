"""Imported last by the warm process: its objects are left alone by its forks' garbage collectors.

A collection would write to each object, and so copy hundreds of megabytes per command.
"""

import gc

gc.collect()
gc.freeze()
