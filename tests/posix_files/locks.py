"""Locks and leases that are held while their file is copied up, renamed or unlinked, and wanted by others."""

import fcntl
import os
import signal
import struct

from calls import F_OFD_GETLK, answer_of, in_child, lock_of, ofd_lock, run, say, tell, write_file

EVENTS = {
    "kept": lambda name: None,
    "copied": lambda name: os.chmod(name, 0o600),
    "written": lambda name: os.close(os.open(name, os.O_WRONLY | os.O_APPEND)),
    "renamed": lambda name: os.rename(name, f"{name}-moved"),
}


def lower():
    os.mkdir("dir")
    for event in EVENTS:
        for kind in ("flock", "fcntl", "ofd", "lease", "range", "unlinked"):
            write_file(f"dir/{kind}-{event}", b"0123456789" * 100)


def now(name):
    return name if os.path.exists(name) else f"{name}-moved"


def wanted(name, take, flags=os.O_RDWR):
    """What another process gets that opens the file anew and asks for a lock."""
    def deed():
        fd = os.open(now(name), flags)
        take(fd)
        return "taken"
    return in_child(deed)


def flocked(fd, how=fcntl.LOCK_EX):
    return fcntl.flock(fd, how | fcntl.LOCK_NB)


def ranged(fd, kind=fcntl.LOCK_EX, length=0, start=0):
    return fcntl.lockf(fd, kind | fcntl.LOCK_NB, length, start)


def flock():
    for event, happen in EVENTS.items():
        name = f"dir/flock-{event}"
        fd = os.open(name, os.O_RDONLY)
        say(f"{event} taken", lambda: flocked(fd))
        happen(name)
        tell(f"{event} wanted", wanted(name, flocked))
        tell(f"{event} wanted shared", wanted(name, lambda other: flocked(other, fcntl.LOCK_SH)))
        say(f"{event} shared", lambda: flocked(fd, fcntl.LOCK_SH))
        tell(f"{event} both shared", wanted(name, lambda other: flocked(other, fcntl.LOCK_SH)))
        tell(f"{event} wanted alone", wanted(name, flocked, os.O_RDONLY))
        os.close(fd)
        tell(f"{event} let go", wanted(name, flocked))


def record():
    """POSIX locks: of a process, by any descriptor."""
    for event, happen in EVENTS.items():
        name = f"dir/fcntl-{event}"
        reader = os.open(name, os.O_RDONLY)
        say(f"{event} read lock", lambda: ranged(reader, fcntl.LOCK_SH))
        say(f"{event} write lock by a reader", lambda: ranged(reader))
        happen(name)
        tell(f"{event} wanted", wanted(name, ranged))
        tell(f"{event} wanted shared", wanted(name, lambda other: ranged(other, fcntl.LOCK_SH)))
        writer = os.open(now(name), os.O_RDWR)
        say(f"{event} write lock", lambda: ranged(writer, fcntl.LOCK_EX, 10, 5))
        tell(f"{event} part wanted", wanted(name, lambda other: ranged(other, fcntl.LOCK_EX, 10, 100)))
        tell(f"{event} part wanted shared", wanted(name, lambda other: ranged(other, fcntl.LOCK_SH, 10, 100)))
        tell(f"{event} locked part", wanted(name, lambda other: ranged(other, fcntl.LOCK_SH, 1, 7)))
        tell(f"{event} whose", whose(name))
        os.close(os.open(now(name), os.O_RDONLY))
        tell(f"{event} any close lets go", wanted(name, ranged))
        os.close(reader)
        os.close(writer)


def whose(name):
    """The process that F_GETLK names to another."""
    ours = os.getpid()

    def deed():
        fd = os.open(now(name), os.O_RDWR)
        kind, _, start, length, pid = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, lock_of(fcntl.F_WRLCK, 6, 1)))
        return kind, start, length, pid == ours
    return in_child(deed)


def ofd():
    """Locks of an open file description."""
    for event, happen in EVENTS.items():
        name = f"dir/ofd-{event}"
        fd = os.open(name, os.O_RDONLY)
        say(f"{event} taken", lambda: ofd_lock(fd, fcntl.F_RDLCK))
        happen(name)
        tell(f"{event} wanted", wanted(name, lambda other: ofd_lock(other, fcntl.F_WRLCK)))
        tell(f"{event} wanted shared", wanted(name, lambda other: ofd_lock(other, fcntl.F_RDLCK)))
        tell(f"{event} record wanted", wanted(name, ranged))
        os.close(os.open(now(name), os.O_RDONLY))
        tell(f"{event} kept over a close", wanted(name, lambda other: ofd_lock(other, fcntl.F_WRLCK)))
        writer = os.open(now(name), os.O_RDWR)
        say(f"{event} our own", lambda: ofd_lock(writer, fcntl.F_WRLCK))
        got = struct.unpack("hhqqi4x", fcntl.fcntl(writer, F_OFD_GETLK, lock_of(fcntl.F_WRLCK)))
        tell(f"{event} seen", got)
        os.close(fd)
        say(f"{event} let go", lambda: ofd_lock(writer, fcntl.F_WRLCK))
        os.close(writer)


def lease():
    """A lease is broken by whoever opens the file, across a copy-up too."""
    for event, happen in EVENTS.items():
        name = f"dir/lease-{event}"
        broken = []
        signal.signal(signal.SIGIO, lambda *_: broken.append("broken"))
        fd = os.open(name, os.O_RDONLY)
        say(f"{event} read lease", lambda: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK))
        say(f"{event} lease", lambda: fcntl.fcntl(fd, fcntl.F_GETLEASE))
        if event != "written":
            happen(name)
        say(f"{event} lease after it", lambda: fcntl.fcntl(fd, fcntl.F_GETLEASE))
        tell(f"{event} reader", in_child(lambda: os.open(now(name), os.O_RDONLY | os.O_NONBLOCK) > 0))
        tell(f"{event} told of a reader", broken)
        tell(f"{event} writer", in_child(lambda: os.open(now(name), os.O_WRONLY | os.O_NONBLOCK)))
        tell(f"{event} told of a writer", broken)
        say(f"{event} given back", lambda: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK))
        tell(f"{event} writer then", in_child(lambda: os.open(now(name), os.O_WRONLY | os.O_NONBLOCK) > 0))
        os.close(fd)


def unlinked():
    """A lock on what has no name any more, and another's on what has its name now."""
    for event, happen in EVENTS.items():
        name = f"dir/unlinked-{event}"
        fd = os.open(name, os.O_RDONLY)
        say(f"{event} taken", lambda: flocked(fd))
        happen(name)
        os.unlink(now(name))
        write_file(name, b"another")
        tell(f"{event} another", wanted(name, flocked))
        tell(f"{event} the same", in_child(lambda: flocked(os.open(f"/proc/self/fd/{fd}", os.O_RDWR))))
        os.close(fd)


run(lower, {"flock": flock, "record": record, "ofd": ofd, "lease": lease, "unlinked": unlinked})
