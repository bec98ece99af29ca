"""Seccomp: restrict the system calls of a worker, with a filter made by libseccomp.

Calls that training needs are allowed. Calls that lead out of the sandbox fail with EPERM if honest
code may make them, and kill the worker if only an attack would. All others fail with ENOSYS, so
that libraries fall back.
"""

from __future__ import annotations

import errno
import tempfile
from typing import Any

_ALLOWED = """
    read write readv writev pread64 pwrite64 lseek close close_range dup dup2 dup3 fcntl
    open openat openat2 stat fstat lstat newfstatat statx statfs fstatfs access faccessat
    faccessat2 readlink readlinkat getdents getdents64 getcwd chdir mkdir mkdirat unlink unlinkat
    rename renameat renameat2 rmdir ftruncate truncate fallocate fsync fdatasync umask fadvise64
    mprotect munmap mremap madvise brk msync mincore mlock munlock membarrier
    futex futex_waitv set_robust_list get_robust_list rseq set_tid_address gettid getpid getppid
    exit exit_group sched_yield sched_getaffinity sched_getparam sched_getscheduler
    sched_get_priority_max sched_get_priority_min getcpu getpriority
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait
    sigaltstack restart_syscall pause alarm setitimer getitimer
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times
    getrandom getuid geteuid getgid getegid getgroups getresuid getresgid getrlimit getrusage
    getpgid getpgrp getsid uname sysinfo arch_prctl
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
    epoll_pwait2 eventfd eventfd2 pipe pipe2 timerfd_create timerfd_settime timerfd_gettime
    recvmsg
"""

_REFUSED = """
    socket socketpair connect bind listen accept accept4 sendto sendmsg sendmmsg
    fork vfork execve execveat memfd_create memfd_secret tkill rt_sigqueueinfo rt_tgsigqueueinfo
    setrlimit setsid setpgid setuid setgid setreuid setregid setresuid setresgid setgroups
    capset chmod fchmod fchmodat chown fchown lchown fchownat link linkat symlink symlinkat mknod
    mknodat shmget shmat shmctl semget msgget mq_open sched_setaffinity sched_setscheduler
    sched_setparam sched_setattr setpriority
"""

_DEADLY = """
    ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_open pidfd_getfd
    pidfd_send_signal io_uring_setup io_uring_enter io_uring_register bpf perf_event_open
    userfaultfd keyctl add_key request_key mount umount2 pivot_root chroot unshare setns
    open_by_handle_at name_to_handle_at fanotify_init init_module finit_module delete_module
    kexec_load kexec_file_load reboot swapon swapoff settimeofday clock_settime clock_adjtime
    adjtimex sethostname setdomainname acct quotactl iopl ioperm personality seccomp
    move_mount open_tree fsopen fsconfig fsmount mount_setattr
"""

_CUDA = """
    ioctl mbind get_mempolicy set_mempolicy sched_setaffinity mlockall mlock2 munlockall
    set_mempolicy_home_node getpriority
"""

_THREAD = 0x00010000  # CLONE_THREAD
_NAMESPACES = 0x7E020080  # CLONE_NEW…
_SHARED_ANONYMOUS = 0x21
_IOCTLS = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, FIONREAD, FIONBIO, FIO[N]CLEX
_PRCTLS = (15, 16, 0x53564D41)  # PR_SET_NAME, PR_GET_NAME, PR_SET_VMA


def program(cuda: bool, first: bool) -> bytes:
    """Return the BPF filter of system calls; a `first` worker is process 1 of its namespace.

    Args:
        cuda: also allow the system calls of a GPU's driver.
        first: True if the worker is the first process of its namespace; it may signal itself.

    Raises: OSError if libseccomp is missing or fails.
    """
    rules = _Rules()
    rules.add("KILL_PROCESS", _DEADLY)
    rules.add("ALLOW", _ALLOWED + (_CUDA if cuda else ""))
    rules.special(cuda, first)
    rules.add("EPERM", _REFUSED)
    return rules.compiled()


class _Rules:
    """Filter rules; ignores names that libseccomp does not know, which this kernel lacks too."""

    def __init__(self) -> None:
        try:
            import pyseccomp
        except (ImportError, RuntimeError, OSError) as error:
            raise OSError(errno.ENOSYS, f"libseccomp cannot be loaded ({error})") from None
        self._library: Any = pyseccomp
        self._filter = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.ENOSYS))
        self._taken: set[str] = set()

    def add(self, action: str, names: str) -> None:
        """Add an action for system calls with any arguments; the first action for a name wins."""
        for name in names.split():
            if name not in self._taken:
                self._rule(action, name)
                self._taken.add(name)

    def special(self, cuda: bool, first: bool) -> None:
        """Add the rules that depend on arguments; a `first` process may signal itself."""
        compare = self._library
        masked, equal, other = compare.MASKED_EQ, compare.EQ, compare.NE
        threads = compare.Arg(0, masked, _THREAD | _NAMESPACES, _THREAD)
        self._rule("ALLOW", "clone", threads)
        self._rule("EPERM", "clone", compare.Arg(0, masked, _THREAD, 0))
        for name in ("kill", "tgkill"):
            if first:
                self._rule("ALLOW", name, compare.Arg(0, equal, 1))
            self._rule("EPERM", name, *([compare.Arg(0, other, 1)] if first else []))
        self._rule("ALLOW", "prlimit64", compare.Arg(2, equal, 0))
        self._rule("EPERM", "prlimit64", compare.Arg(2, other, 0))
        for number in _PRCTLS:
            self._rule("ALLOW", "prctl", compare.Arg(0, equal, number))
        mapped = compare.Arg(3, masked, _SHARED_ANONYMOUS, _SHARED_ANONYMOUS)
        self._rule("EPERM", "mmap", mapped)  # such memory counts towards no data limit
        for kept in (0, *(1 << bit for bit in (0, 5))):
            self._rule("ALLOW", "mmap", compare.Arg(3, masked, _SHARED_ANONYMOUS, kept))
        if not cuda:
            for number in _IOCTLS:
                self._rule("ALLOW", "ioctl", compare.Arg(1, equal, number))

    def compiled(self) -> bytes:
        """Return the rules as a BPF program."""
        with tempfile.TemporaryFile() as file:
            self._filter.export_bpf(file)
            file.seek(0)
            return file.read()

    def _rule(self, action: str, name: str, *conditions: Any) -> None:
        library = self._library
        verdict = library.ERRNO(errno.EPERM) if action == "EPERM" else getattr(library, action)
        if library.resolve_syscall(library.Arch.NATIVE, name) >= 0:
            self._filter.add_rule(verdict, name, *conditions)
