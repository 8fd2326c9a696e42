"""Linux confinement of a child: no new privileges, Landlock, seccomp, death with its parent.

Plain system calls through ctypes, without root. Each is left out where the kernel lacks it.
"""

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38

# linux/landlock.h; the numbers of its system calls are the same on every architecture
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ACCESS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many kinds of file access each version knows; later ones know as many as 5."""
_NET_BIND_TCP, _NET_CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1, 2
_READ = _READ_FILE | _READ_DIR
_USE_DEVICE = _READ_FILE | _WRITE_FILE | _IOCTL_DEV
_FILE_ACCESS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

# linux/seccomp.h, linux/filter.h
_SECCOMP_MODE_FILTER = 2
_LOAD_WORD, _JUMP_IF_EQUAL, _JUMP_IF_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_X32_CALLS = 0x40000000
_RETURN_ALLOW, _RETURN_ERRNO = 0x7FFF0000, 0x00050000
_EACCES = 13
_ARCHITECTURES = {
    # audit architecture; socket, execve, execveat, ptrace, process_vm_writev, io_uring_setup
    "x86_64": (0xC000003E, (41, 59, 322, 101, 311, 425)),
    "aarch64": (0xC00000B7, (198, 221, 281, 117, 271, 425)),
}


@dataclass(frozen=True)
class Access:
    """The files that a process may use; a folder stands for everything in it."""

    readable: Iterable[Path] = field(default_factory=tuple)
    writable: Iterable[Path] = field(default_factory=tuple)
    devices: Iterable[Path] = field(default_factory=tuple)


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call above
        os._exit(1)


def landlock_abi() -> int:
    """Return the version of Landlock that the kernel offers; 0 for none."""
    if _LIBC is None:
        return 0
    return max(0, _system_call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION))


def confine(access: Access) -> None:
    """Take from this thread, and all it starts, every file but these, the network and new programs.

    Raises:
        OSError: the kernel offers confinement and then refuses it.
    """
    if _LIBC is None:
        return
    _check(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if (abi := landlock_abi()) > 0:
        _apply_landlock(access, abi)
    if platform.machine() in _ARCHITECTURES:
        _apply_seccomp(*_ARCHITECTURES[platform.machine()])


def _apply_landlock(access: Access, abi: int) -> None:
    handled = (1 << _ACCESS_BITS.get(abi, _ACCESS_BITS[5])) - 1
    attributes = _RulesetAttributes(
        handled,
        _NET_BIND_TCP | _NET_CONNECT_TCP if abi >= 4 else 0,
        _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL if abi >= 6 else 0,
    )
    size = ctypes.sizeof(attributes)
    ruleset = _check(_system_call(_CREATE_RULESET, ctypes.byref(attributes), size, 0))
    try:
        for paths, allowed in (
            (access.readable, _READ),
            (access.writable, handled & ~_EXECUTE),
            (access.devices, _USE_DEVICE),
        ):
            for path in paths:
                _allow(ruleset, path, allowed & handled)
        _check(_system_call(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, allowed: int) -> None:
    """Open a path that exists to this process."""
    try:
        # Given as a number, because os.O_PATH exists on Linux only.
        descriptor = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            allowed &= _FILE_ACCESS
        rule = _PathBeneath(allowed, descriptor)
        _check(_system_call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(descriptor)


def _apply_seccomp(architecture: int, forbidden: tuple[int, ...]) -> None:
    """Make the forbidden system calls fail with EACCES.

    Landlock leaves out UDP and unix sockets, through which a child could reach the broker.
    """
    program = [
        _Instruction(_LOAD_WORD, 0, 0, 4),  # seccomp_data.arch
        _Instruction(_JUMP_IF_EQUAL, 1, 0, architecture),
        _Instruction(_RETURN, 0, 0, _RETURN_ERRNO | _EACCES),
        _Instruction(_LOAD_WORD, 0, 0, 0),  # seccomp_data.nr
        _Instruction(_JUMP_IF_LEAST, len(forbidden) + 1, 0, _X32_CALLS),
        *(
            _Instruction(_JUMP_IF_EQUAL, len(forbidden) - index, 0, number)
            for index, number in enumerate(forbidden)
        ),
        _Instruction(_RETURN, 0, 0, _RETURN_ALLOW),
        _Instruction(_RETURN, 0, 0, _RETURN_ERRNO | _EACCES),
    ]
    instructions = (_Instruction * len(program))(*program)
    filter_program = _Program(len(program), instructions)
    assert _LIBC is not None  # noqa: S101 - the caller has seen to it
    _check(_LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filter_program), 0, 0))


def _system_call(number: int, *arguments: object) -> int:
    assert _LIBC is not None  # noqa: S101 - the callers have seen to it
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return int(_LIBC.syscall(ctypes.c_long(number), *converted))


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
