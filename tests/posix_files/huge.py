"""One file with a hole of 10 GiB: it is read, copied up by a change of its mode, and written."""

import os

from calls import read_file, run, say, tell

GIB = 1 << 30
SIZE = 10 * GIB


def lower():
    fd = os.open("hole", os.O_WRONLY | os.O_CREAT, 0o644)
    os.pwrite(fd, b"head", 0)
    os.pwrite(fd, b"tail", SIZE - 4)
    os.close(fd)


def copied():
    for change in (None, lambda: os.chmod("hole", 0o600), lambda: os.close(os.open("hole", os.O_RDWR))):
        if change:
            say("change", change)
        fd = os.open("hole", os.O_RDONLY)
        say("size", lambda: os.fstat(fd).st_size)
        say("blocks", lambda: 8 <= os.fstat(fd).st_blocks <= 64)
        say("hole", lambda: os.lseek(fd, 0, os.SEEK_HOLE))
        say("data", lambda: os.lseek(fd, GIB, os.SEEK_DATA))
        say("ends", lambda: (os.pread(fd, 8, 0), os.pread(fd, 8, 5 * GIB), os.pread(fd, 8, SIZE - 8)))
        os.close(fd)
    fd = os.open("hole", os.O_RDWR)
    say("written", lambda: os.pwrite(fd, b"middle", 5 * GIB - 3))
    say("read", lambda: os.pread(fd, 10, 5 * GIB - 5))
    say("appended", lambda: os.write(os.open("hole", os.O_WRONLY | os.O_APPEND), b"end"))
    say("blocks", lambda: os.fstat(fd).st_blocks <= 64)
    say("cut", lambda: (os.ftruncate(fd, 4 * GIB + 1), os.fstat(fd).st_size))
    os.close(fd)


run(lower, {"copied": copied})
