"""Licences of libraries: SPDX expressions from their metadata, and which are copyleft."""

from __future__ import annotations

import re
from email.message import Message

UNKNOWN = "NOASSERTION"
"""SPDX name of an unknown licence."""

_CLASSIFIERS = {
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
}

# More specific patterns first: the LGPL also contains the words of the GPL.
_TEXTS = (
    (r"affero general public license|\bagpl", "AGPL-3.0-only"),
    (r"lesser general public license|\blgpl", "LGPL-3.0-only"),
    (r"general public license\s+version 2|\bgpl-?v?2", "GPL-2.0-only"),
    (r"general public license|\bgpl", "GPL-3.0-only"),
    (r"apache", "Apache-2.0"),
    (r"mozilla public license|\bmpl", "MPL-2.0"),
    (r"neither the name of|bsd[- ]3|3-clause|new bsd|\bbsd", "BSD-3-Clause"),
    (r"redistribution and use in source and binary forms|bsd[- ]2|2-clause", "BSD-2-Clause"),
    (r"\bmit\b|permission is hereby granted, free of charge", "MIT"),
    (r"permission to use, copy, modify, and(/or)? distribute this software", "ISC"),
)
COPYLEFT = ("GPL", "AGPL", "LGPL", "MPL", "EUPL", "CC-BY-SA", "OSL", "EPL", "CDDL")
"""Prefixes of SPDX names of licences that derived work inherits."""


def from_metadata(metadata: Message) -> str:
    """Return the licence (SPDX) in a wheel's METADATA or an sdist's PKG-INFO."""
    if expression := str(metadata.get("License-Expression", "")).strip():
        return expression
    for classifier in metadata.get_all("Classifier", []):
        if classifier.startswith("License ::"):
            name = classifier.rsplit(" :: ", 1)[-1]
            if name in _CLASSIFIERS:
                return _CLASSIFIERS[name]
    return from_text(str(metadata.get("License", "")))


def from_text(text: str) -> str:
    """Return the SPDX name of a licence's short name or full text, or `UNKNOWN`."""
    start = text[:2000].lower()
    return next((spdx for words, spdx in _TEXTS if re.search(words, start)), UNKNOWN)


def is_copyleft(licence: str) -> bool:
    """Return True if a licence (SPDX expression) is copyleft or unknown."""
    choices = licence.replace("(", " ").replace(")", " ").split(" OR ")
    return all(any(_inherits(name) for name in choice.split(" AND ")) for choice in choices)


def _inherits(name: str) -> bool:
    name = name.strip()
    return name in ("", "NOASSERTION") or name.startswith(COPYLEFT)
