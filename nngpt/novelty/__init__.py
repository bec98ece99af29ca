"""How near a network is to the known ones; one file per measure. Calling it: `nngpt.novelty`."""

import sys

from nngpt import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
