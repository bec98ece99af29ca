"""Candidates cannot read files and secrets, nor write outside their scratch folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from hostile_samples import NAME, WORKED, attempt, everywhere, hostile, need

from nngpt.data.splits import Splits
from nngpt.records import Evaluation, Refusal
from nngpt.sandbox.executors.local import LocalExecutor

Attack = Callable[..., Evaluation | Refusal]
Attacks = Callable[..., dict[str, Evaluation | Refusal]]
Start = Callable[..., LocalExecutor]


def harmless(*results: Evaluation | Refusal) -> bool:
    """Check that every attempt was made and failed."""
    for result in results:
        assert isinstance(result, Evaluation), result
    return True


def test_files_of_the_user_cannot_be_read(
    attacks: Attacks, start: Start, secrets: dict[str, Path], splits: Splits
) -> None:
    need(start(), "landlock")
    data = [splits.train.images, splits.validation.images, splits.validation.labels]
    paths = [*secrets.values(), *data, splits.test.labels, Path("/etc/passwd"), Path(__file__)]
    assert all(path.read_bytes() for path in paths)
    code = "\n".join(attempt(f"open({str(path)!r}, 'rb').read()") for path in paths)
    assert harmless(*attacks(everywhere(code)).values())


def test_folders_of_the_user_cannot_be_listed(attack: Attack, start: Start) -> None:
    need(start(), "landlock")
    folders = ["/", "/root", "/home", "/etc", "/tmp", "/proc", "/proc/self/fd", "/dev", Path.cwd()]
    code = "\n".join(attempt(f"os.listdir({str(folder)!r})") for folder in folders)
    assert harmless(attack(hostile("learn", "import os\n" + code)))


def test_other_paths_to_a_file_open_nothing(attack: Attack, start: Start, splits: Splits) -> None:
    """Links, detours and folder descriptors lead to the same files."""
    need(start(), "landlock")
    labels = splits.validation.labels
    tries = [
        f"os.symlink({str(labels)!r}, 'link')",
        f"os.link({str(labels)!r}, 'link')",
        f"open('/usr/../{labels}', 'rb')",
        f"open({str(labels)!r}, 'rb', opener=lambda p, f: os.open(p, f | os.O_PATH)).read()",
        f"os.open({str(labels.name)!r}, 0, dir_fd=os.open({str(labels.parent)!r}, os.O_PATH))",
        "open('/proc/1/root/etc/passwd')",
        "open('/proc/self/environ')",
    ]
    code = "import os\n" + "\n".join(attempt(text) for text in tries)
    assert harmless(attack(hostile("learn", code)))


def test_the_environment_holds_no_secret(attacks: Attacks) -> None:
    code = f"""
import ctypes, os
assert "NNGPT_SECRET" not in os.environ, "{WORKED}"
assert ctypes.CDLL(None).getenv(b"NNGPT_SECRET") == 0, "{WORKED}"
assert os.environ.get("HOME") != {str(Path.home())!r}, "{WORKED}"
"""
    assert harmless(*attacks(everywhere(code)).values())


def test_no_descriptor_leads_to_a_file_of_the_user(
    attack: Attack, start: Start, splits: Splits
) -> None:
    """By inode: pipes, sealed memory and /dev/null are all that a worker holds."""
    files = [splits.validation.labels, splits.train.images, Path(__file__), Path("/etc/passwd")]
    known = {(path.stat().st_dev, path.stat().st_ino) for path in files}
    code = f"""
import os, stat
for fd in range(256):
    try: about = os.fstat(fd)
    except OSError: continue
    assert (about.st_dev, about.st_ino) not in {known!r}, "{WORKED}"
    assert not stat.S_ISDIR(about.st_mode) and not stat.S_ISSOCK(about.st_mode), "{WORKED}"
"""
    assert harmless(attack(hostile("import", code)))


def test_nothing_is_written_outside_scratch(
    attacks: Attacks, start: Start, tmp_path: Path, splits: Splits
) -> None:
    need(start(), "landlock")
    package = Path(sys.modules["nngpt"].__file__ or "")
    torch = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    folders = [tmp_path, Path.cwd(), Path.home(), torch, package.parent, splits.train.labels.parent]
    paths = [folder / NAME for folder in (*folders, *map(Path, ("/tmp", "/dev/shm", "/", "/usr")))]
    code = "import os\n" + "\n".join(
        attempt(text)
        for path in paths
        for text in (f"open({str(path)!r}, 'w').write('x')", f"os.mkdir({str(path)!r})")
    )
    changes = [f"open({str(package)!r}, 'a')", f"os.unlink({str(package)!r})"]
    changes += [f"os.rename({str(package)!r}, 'x')", f"os.truncate({str(package)!r}, 0)"]
    code += "\n" + "\n".join(attempt(text) for text in changes)
    before = package.read_bytes()
    assert harmless(*attacks(everywhere(code)).values())
    assert package.read_bytes() == before
    assert not any(path.exists() for path in paths)


def test_the_scratch_folder_ends_with_its_candidate(attack: Attack, start: Start) -> None:
    need(start(), "private-files")
    code = f"""
import os, tempfile
assert os.listdir(".") == [], "{WORKED}"
open("left", "w").write("behind")
tempfile.NamedTemporaryFile(delete=False).write(b"x")
os.makedirs("a/b/c")
"""
    for _ in range(2):
        assert harmless(attack(hostile("import", code)))


def test_scratch_holds_no_program(attack: Attack, start: Start) -> None:
    """A native library would have to be mapped from there."""
    need(start(), "private-files")
    code = """
import mmap, os
with open("program", "wb") as file: file.write(b"\\x7fELF" + bytes(4092))
fd = os.open("program", os.O_RDONLY)
""" + attempt("mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)")
    assert harmless(attack(hostile("learn", code)))


def test_scratch_is_small(attack: Attack, start: Start) -> None:
    need(start(), "private-files")
    code = """
size, number = 0, 0
try:
    while size < 64 << 20:
        with open(f"fill{number}", "wb") as file: size += file.write(bytes(1 << 20))
        number += 1
except OSError: pass
assert size < 17 << 20, "the attack worked"
try:
    for number in range(9999): open(f"empty{number}", "w").close()
except OSError: pass
assert number < 2000, "the attack worked"
"""
    assert harmless(attack(hostile("learn", code)))


STORES = """
import os
for fd in range(3, 64):
    try:
        if os.lseek(fd, 0, os.SEEK_CUR) == 4711: raise RuntimeError("the attack worked")
        os.lseek(fd, 4711, os.SEEK_SET)
    except OSError: pass
"""


def test_nothing_passes_from_one_candidate_to_the_next(attack: Attack) -> None:
    """Shared descriptors of the training data would store data in their offsets."""
    for _ in range(2):
        assert harmless(attack(hostile("import", STORES)))
