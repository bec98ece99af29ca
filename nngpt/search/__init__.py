"""The search: a folder of images in, a trained network out. Calling it: `nngpt.search`."""

import sys

from nngpt import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
