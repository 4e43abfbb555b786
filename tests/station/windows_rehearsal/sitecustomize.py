"""Make a Python on Linux answer the product as one on Windows does, as far as a Linux can.

Python runs a module of this name at its start, in worker processes too. The product's own modules get an `os`, a
`signal`, a `ctypes` and a `sys` without what Windows lacks, and can't import what it hasn't; libraries keep
theirs, since they have other code for Windows. Files that are open can be neither removed nor renamed, text files
without an encoding are an error, and so are descriptors that translate line ends.
"""

import builtins
import errno
import fcntl
import os
import sys
import types
import warnings

PRODUCT = ("scanner", "acquisition", "analysis", "simulators", "station")
ABSENT_MODULES = (
    "fcntl",
    "termios",
    "pty",
    "tty",
    "resource",
    "grp",
    "pwd",
    "posix",
    "syslog",
    "crypt",
    "readline",
)
ABSENT = {
    "os": (
        *("O_DIRECTORY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_SYNC", "O_DSYNC", "O_ASYNC"),
        *("O_TMPFILE", "O_PATH", "O_NOATIME", "O_ACCMODE"),
        *(
            "posix_fallocate",
            "posix_fadvise",
            "pread",
            "pwrite",
            "preadv",
            "pwritev",
            "readv",
            "writev",
            "sendfile",
        ),
        *("fdatasync", "sync", "fchmod", "fchown", "chown", "lchown", "fchdir", "mkfifo", "mknod", "ttyname"),
        *("fork", "forkpty", "openpty", "setsid", "setpgid", "getpgid", "killpg", "nice", "wait", "WNOHANG"),
        *("getuid", "geteuid", "getgid", "getegid", "getgroups", "getpriority", "uname", "getloadavg", "sysconf"),
        *("statvfs", "fstatvfs", "confstr", "pathconf", "sched_getaffinity", "getxattr", "setxattr", "lockf"),
    ),
    "signal": (
        *("SIGHUP", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGALRM", "SIGCHLD", "SIGPIPE"),
        *("SIGSTOP", "SIGCONT", "alarm", "setitimer", "pause", "pthread_sigmask", "pthread_kill"),
        *("sigwait", "sigtimedwait", "siginterrupt"),
    ),
    "sys": ("getdlopenflags", "setdlopenflags", "abiflags"),
    "ctypes": (),
    "time": ("clock_gettime", "CLOCK_MONOTONIC", "pthread_getcpuclockid", "tzset"),
    "select": ("poll", "epoll"),
    "socket": ("AF_UNIX",),
}
O_BINARY = 0o100000
"""On Linux this bit changes nothing for programs of 64 bits."""


class View(types.ModuleType):
    """A module without some of its names."""

    def __init__(self, module, absent, present):
        super().__init__(module.__name__)
        self.__dict__.update(present)
        self._module, self._absent = module, frozenset(absent)

    def __getattr__(self, name):
        if name in self._absent:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        return getattr(self._module, name)


def open_binary(path, flags, mode=0o777, **named):
    """Open, and refuse folders and translation of line ends."""
    if not flags & O_BINARY:
        raise AssertionError(f"os.open({path!r}): without O_BINARY bytes are translated on Windows")
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return os.open(path, flags, mode, **named)


def locking(descriptor, mode, _size):
    """``msvcrt.locking`` of one byte, not waited for."""
    assert mode == MSVCRT.LK_NBLCK
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PermissionError(errno.EACCES, "Permission denied") from error


class Kernel32:
    """The one call for console events."""

    def SetConsoleCtrlHandler(self, routine, added):  # noqa: N802 - as in the system
        assert callable(routine)
        assert added in (True, False)
        return True


def make_views():
    """Views of modules, by name."""
    import ctypes
    import importlib

    windows = {
        "os": {"name": "nt", "O_BINARY": O_BINARY, "O_TEXT": 0o40000000000, "open": open_binary},
        "sys": {"platform": "win32"},
        "ctypes": {"WINFUNCTYPE": ctypes.CFUNCTYPE, "windll": types.SimpleNamespace(kernel32=Kernel32())},
    }
    return {
        name: View(importlib.import_module(name), absent, windows.get(name, {})) for name, absent in ABSENT.items()
    }


MSVCRT = types.ModuleType("msvcrt")
MSVCRT.LK_NBLCK = 2
MSVCRT.locking = locking
VIEWS = make_views()
real_import = builtins.__import__


def product_import(name, globals_=None, locals_=None, fromlist=(), level=0):
    """Import, by the product as on Windows."""
    importer = (globals_ or {}).get("__name__") or ""
    # A module that is run by -m has another name.
    spec = (globals_ or {}).get("__spec__")
    if importer == "__main__" and spec is not None:
        importer = spec.name
    if level == 0 and importer.split(".")[0] in PRODUCT:
        if name in ABSENT_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r} on Windows (imported by {importer})", name=name)
        if name == "msvcrt":
            return MSVCRT
        if name in VIEWS:
            return VIEWS[name]
    return real_import(name, globals_, locals_, fromlist, level)


def refuse_if_open(path, directory=None):
    """Raise what Windows answers where this process has the file open."""
    if directory is not None:
        return
    try:
        wanted = os.stat(path, follow_symlinks=False)
    except OSError:
        return
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            opened = os.fstat(int(descriptor))
        except OSError:
            continue
        if os.path.samestat(opened, wanted):
            raise PermissionError(errno.EACCES, "The process cannot access the file: it is open", str(path))


def guard(call, paths):
    """A call that removes or renames, refused for open files."""

    def guarded(*arguments, **named):
        for path in arguments[:paths]:
            refuse_if_open(path, named.get("dir_fd"))
        return call(*arguments, **named)

    return guarded


builtins.__import__ = product_import
if real_import("pathlib").Path("/proc/self/fd").is_dir():
    os.unlink, os.remove = guard(os.unlink, 1), guard(os.remove, 1)
    os.rename, os.replace = guard(os.rename, 2), guard(os.replace, 2)
warnings.filterwarnings("error", category=EncodingWarning, module=rf"({'|'.join(PRODUCT)})(\.|$)")
sys.dont_write_bytecode = True
