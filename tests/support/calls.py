"""Calls that Python has not, and the words in which a script says what a call answered.

A script tells what it makes of an empty directory (`lower`) and what it does there afterwards, by cases. Each answer is one
line, `label: answer`, so that the answers of several file systems can be compared line by line. Whatever is each one's own
(numbers, moments, devices) is not said.
"""

import ctypes
import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000
FALLOC_KEEP_SIZE = 1
FALLOC_PUNCH_HOLE = 2
FALLOC_COLLAPSE_RANGE = 8
FALLOC_ZERO_RANGE = 16
IN_ALL_EVENTS = 0xFFF
IN_NAMES = {
    0x1: "access", 0x2: "modify", 0x4: "attrib", 0x8: "close_write", 0x10: "close_nowrite", 0x20: "open",
    0x40: "moved_from", 0x80: "moved_to", 0x100: "create", 0x200: "delete", 0x400: "delete_self", 0x800: "move_self",
    0x2000: "unmount", 0x4000: "overflow", 0x8000: "ignored", 0x40000000: "isdir",
}
F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38
# Nothing here waits for longer; what has not come by then does not come.
PATIENCE_S = 20


def call(name, *arguments):
    """A function of the C library that answers -1 and sets errno."""
    function = getattr(LIBC, name)
    function.restype = ctypes.c_int
    ctypes.set_errno(0)
    answer = function(*[ctypes.c_char_p(os.fsencode(a)) if isinstance(a, (str, bytes)) else
                        ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if answer == -1:
        raise OSError(ctypes.get_errno(), name)
    return answer


def fallocate(fd, mode, offset, length):
    return call("fallocate", fd, mode, offset, length)


def link_open(fd, name):
    """One more name for an open file, by its descriptor."""
    return call("linkat", fd, "", AT_FDCWD, name, AT_EMPTY_PATH)


def link_proc(fd, name):
    """The same by the link that /proc has of it."""
    return call("linkat", AT_FDCWD, f"/proc/self/fd/{fd}", AT_FDCWD, name, AT_SYMLINK_FOLLOW)


def answer_of(deed):
    """What `deed` answers: the name of its errno where it is refused."""
    try:
        return repr(deed())
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def say(label, deed):
    print(f"{label}: {answer_of(deed)}", flush=True)


def tell(label, value):
    print(f"{label}: {value!r}", flush=True)


def write_file(name, data, mode=0o644):
    """A file with these bytes and exactly this mode."""
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    os.chmod(name, mode)


def read_file(name):
    with open(name, "rb") as file:
        return file.read()


def in_child(deed):
    """What `deed` answers in a process of its own, or the signal that ended it."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        try:
            os.write(theirs, answer_of(deed).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    said = b""
    while piece := os.read(ours, 65536):
        said += piece
    os.close(ours)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return said.decode()


class Watch:
    """An inotify instance."""

    def __init__(self):
        self.fd = call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        self.names = {}

    def add(self, path, mask=IN_ALL_EVENTS):
        self.names[call("inotify_add_watch", self.fd, path, mask)] = path

    def events(self):
        """Everything that came so far: the kernel has put it there before the call that caused it returned."""
        found = []
        while True:
            try:
                piece = os.read(self.fd, 65536)
            except BlockingIOError:
                return found
            at = 0
            while at < len(piece):
                which, mask, _, length = struct.unpack_from("iIII", piece, at)
                name = piece[at + 16:at + 16 + length].rstrip(b"\0").decode()
                words = "+".join(word for bit, word in IN_NAMES.items() if mask & bit)
                place = self.names.get(which, "?")
                found.append(f"{place}/{name} {words}" if name else f"{place} {words}")
                at += 16 + length


def lock_of(kind, start=0, length=0):
    """The kernel's `struct flock` on 64-bit machines."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)


def ofd_lock(fd, kind):
    return fcntl.fcntl(fd, F_OFD_SETLK, lock_of(kind)) and None


def until(ready, what):
    """Looks until it is so."""
    end = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(what)
        select.select([], [], [], 0.01)


def lines_of(stream, count):
    """So many lines of a pipe, or what came until nobody could be waited for any longer."""
    end, said = time.monotonic() + PATIENCE_S, b""
    while said.count(b"\n") < count and time.monotonic() < end:
        if select.select([stream], [], [], 0.2)[0]:
            piece = os.read(stream.fileno(), 65536)
            if not piece:
                break
            said += piece
    return said.decode().splitlines()


def started(words):
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def run(lower, cases):
    """`SCRIPT lower DIR` fills a directory, `SCRIPT CASE DIR` does what a case says."""
    case, place = sys.argv[1], sys.argv[2]
    os.chdir(place)
    os.umask(0o022)
    (lower if case == "lower" else cases[case])()
