"""System calls that lead out of the sandbox: they fail, or kill a worker that only attacks."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping

import pytest
from hostile_samples import attempt, everywhere, hostile, need

from nngpt.records import Evaluation, Refusal
from nngpt.sandbox.executors.local import LocalExecutor

Attack = Callable[..., Evaluation | Refusal]
Attacks = Callable[..., dict[str, Evaluation | Refusal]]
Start = Callable[..., LocalExecutor]

DEADLY = "asked the kernel for what only an attack needs"
LIBC = """
import ctypes, os, resource, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    result = getattr(libc, name)(*args)
    if result == -1: raise OSError(ctypes.get_errno(), name)
    return result
"""

# The same numbers on every architecture since Linux 5.1; the older ones have functions in libc.
IO_URING_SETUP, PIDFD_OPEN, PIDFD_GETFD, PIDFD_SEND_SIGNAL = 425, 434, 438, 424
OPEN_TREE, FSOPEN = 428, 430

KILLED = {
    "ptrace": "call('ptrace', 0, 0, 0, 0)",
    "ptrace of the parent": "call('ptrace', 16, os.getppid(), 0, 0)",
    "read the parent's memory": "call('process_vm_readv', os.getppid(), None, 0, None, 0, 0)",
    "write the parent's memory": "call('process_vm_writev', os.getppid(), None, 0, None, 0, 0)",
    "io_uring": f"call('syscall', {IO_URING_SETUP}, 8, None)",
    "pidfd_open": f"call('syscall', {PIDFD_OPEN}, 1, 0)",
    "pidfd_getfd": f"call('syscall', {PIDFD_GETFD}, 3, 0, 0)",
    "pidfd_send_signal": f"call('syscall', {PIDFD_SEND_SIGNAL}, 3, 9, None, 0)",
    "unshare": "call('unshare', 0x10000000)",
    "setns": "call('setns', 0, 0)",
    "mount": "call('mount', b'none', b'/', b'tmpfs', 0, None)",
    "umount": "call('umount2', b'/', 2)",
    "chroot": "call('chroot', b'.')",
    "personality": "call('personality', 0x0040000)",
    "open_tree": f"call('syscall', {OPEN_TREE}, -100, b'/', 1)",
    "fsopen": f"call('syscall', {FSOPEN}, b'proc', 0)",
    "reboot": "call('reboot', 0)",
    "swapon": "call('swapon', b'x', 0)",
    "sethostname": "call('sethostname', b'x', 1)",
    "clock_settime": "call('clock_settime', 0, ctypes.create_string_buffer(16))",
}
NUMBERED = {  # by architecture: x86_64, aarch64
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "pivot_root": (155, 41),
    "open_by_handle_at": (304, 265),
    "seccomp": (317, 277),
    "kcmp": (312, 272),
}
MACHINES = ("x86_64", "aarch64")
MQ_OPEN = 240 if platform.machine() == "x86_64" else 180

FAILS = {
    "chmod": "open('x', 'w').close(); os.chmod('x', 0o4755)",
    "chown": "open('x', 'w').close(); os.chown('x', 0, 0)",
    "mknod": "os.mknod('device', 0o60600, 0x100)",
    "fifo": "os.mkfifo('fifo')",
    "link": "os.symlink('/', 'root')",
    "setuid": "os.setuid(0)",
    "setuid to itself": "os.setresuid(os.getuid(), os.getuid(), os.getuid())",
    "setgid": "os.setgid(0)",
    "setgroups": "os.setgroups([])",
    "session": "os.setsid()",
    "process group": "os.setpgid(0, 0)",
    "fork": "os.fork()",
    "vfork": "__import__('subprocess').run(['/bin/true'])",
    "posix_spawn": "os.posix_spawn('/bin/sh', ['sh'], {})",
    "exec": "os.execv('/bin/sh', ['sh'])",
    "multiprocessing": "__import__('multiprocessing').get_context('fork').Process().start()",
    "memfd": "os.memfd_create('x')",
    "memfd_secret": "call('syscall', 447, 0)",
    "survive the parent": "call('prctl', 1, 0, 0, 0, 0)",
    "new privileges": "call('prctl', 38, 0, 0, 0, 0)",
    "capabilities": "call('prctl', 47, 2, 21, 0, 0)",
    "dumpable": "call('prctl', 4, 1, 0, 0, 0)",
    "subreaper": "call('prctl', 36, 1, 0, 0, 0)",
    "another filter": "call('prctl', 22, 2, None)",
    "tracer": "call('prctl', 0x59616d61, -1, 0, 0, 0)",
    "shmget": "call('shmget', 0, 4096, 0o1600)",
    "semget": "call('semget', 0, 1, 0o1600)",
    "msgget": "call('msgget', 0, 0o1600)",
    "message queue": f"call('syscall', {MQ_OPEN}, b'x', 0o102, 0o600, None)",
    "posix shared memory": "__import__('multiprocessing.shared_memory').shared_memory"
    ".SharedMemory(create=True, size=4096)",
    "shared anonymous memory": "__import__('mmap').mmap(-1, 4096)",
    "affinity": "os.sched_setaffinity(0, {0})",
    "scheduler": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
    "nice": "os.nice(-1)",
    "terminal": "import fcntl; fcntl.ioctl(0, 0x5412, b'x')",
    "inotify": "call('inotify_init')",
    "splice": "call('tee', 1, 2, 1, 0)",
    "signal to a group": "os.killpg(0, 9)",
    "signal to all": "os.kill(-1, 9)",
    "signal to the parent": "os.kill(os.getppid(), 9)",
    "signal to another": "os.kill(2, 9)",
    "queued signal": "call('sigqueue', 2, 9, None)",
}


def is_deadly(results: Mapping[str, Evaluation | Refusal]) -> bool:
    """Check that every worker was killed."""
    for name, result in results.items():
        assert isinstance(result, Refusal), name
        assert result.reason == DEADLY, name
    return True


def test_calls_that_only_an_attack_makes_are_deadly(attacks: Attacks, start: Start) -> None:
    need(start(), "seccomp")
    assert is_deadly(attacks({name: hostile("learn", LIBC + KILLED[name]) for name in KILLED}))


def test_deadly_calls_without_a_function_in_libc(attacks: Attacks, start: Start) -> None:
    need(start(), "seccomp")
    if platform.machine() not in MACHINES:
        pytest.skip(f"no system call numbers for {platform.machine()} here")
    numbers = {name: ours[MACHINES.index(platform.machine())] for name, ours in NUMBERED.items()}
    calls = {name: f"{LIBC}call('syscall', {n}, 0, 0, 0, 0, 0)" for name, n in numbers.items()}
    assert is_deadly(attacks({name: hostile("learn", call) for name, call in calls.items()}))


def test_a_deadly_call_is_deadly_everywhere(attacks: Attacks, start: Start) -> None:
    need(start(), "seccomp")
    assert is_deadly(attacks(everywhere(LIBC + KILLED["ptrace"])))


def test_a_deadly_call_of_a_thread_kills_the_process(attack: Attack, start: Start) -> None:
    need(start(), "seccomp")
    code = f"{LIBC}\nimport threading, time\n"
    code += f"threading.Thread(target=lambda: {KILLED['ptrace']}).start()\ntime.sleep(60)"
    result = attack(hostile("learn", code))
    assert isinstance(result, Refusal), result
    assert result.reason == DEADLY


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86-64 has other interfaces")
@pytest.mark.parametrize("text", ["b814000000cd80c3", "b827000040 0f05c3"], ids=["i386", "x32"])
def test_other_system_call_interfaces_are_closed(attack: Attack, start: Start, text: str) -> None:
    """getpid by `int 0x80` and by x32's number, which a filter of numbers alone would allow."""
    need(start(), "seccomp")
    code = f"""
import ctypes, mmap
code = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
code.write(bytes.fromhex("{text}"))
result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
assert result <= 0, "the attack worked"
"""
    result = attack(hostile("learn", code))
    assert isinstance(result, Evaluation) or result.reason in (DEADLY, "was killed by SIGSEGV")


def test_calls_that_honest_code_may_make_fail(attack: Attack, start: Start) -> None:
    """All in one process, since a call that fails changes nothing."""
    need(start(), "seccomp")
    result = attack(hostile("learn", LIBC + "\n".join(map(attempt, FAILS.values()))))
    assert isinstance(result, Evaluation), result


RAISES = """
import resource
kinds = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
for kind in [*kinds, 10]:
    try: resource.setrlimit(kind, endless)
    except (ValueError, OSError): continue
    raise RuntimeError("the attack worked")
"""


def test_no_limit_can_be_changed(attacks: Attacks, start: Start) -> None:
    need(start(), "seccomp")
    for result in attacks(everywhere(RAISES)).values():
        assert isinstance(result, Evaluation), result
