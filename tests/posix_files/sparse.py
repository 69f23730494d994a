"""Holes, the blocks that a file takes, and sizes beyond 32 bits."""

import os

from calls import FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE, answer_of, fallocate, run, say, tell, write_file

MIB, GIB = 1 << 20, 1 << 30
HOLE = 40 * MIB
# The blocks of a tree of extents and of attributes beside the data.
SPARE_BLOCKS = 256


def sparse_file(name, stretches, size):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644)
    for at, data in stretches:
        os.pwrite(fd, data, at)
    os.ftruncate(fd, size)
    os.close(fd)


def lower():
    os.mkdir("dir")
    sparse_file("dir/hole", [(0, b"head"), (HOLE - 4, b"tail")], HOLE)
    sparse_file("dir/mode", [(MIB, b"m" * MIB)], HOLE)
    sparse_file("dir/islands", [(n * MIB, b"%04d" % n * 1024) for n in range(1, 32, 3)], 40 * MIB)
    sparse_file("dir/nothing", [], 3 * MIB)
    write_file("dir/full", b"full" * 250_000)
    sparse_file("dir/punched", [(0, b"p" * 4 * MIB)], 4 * MIB)
    sparse_file("dir/beyond", [(0, b"b" * 4096)], 4096)


def stretches(fd):
    """Where data is, by SEEK_DATA and SEEK_HOLE alone."""
    found, at = [], 0
    while True:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return found
        at = os.lseek(fd, start, os.SEEK_HOLE)
        found.append((start, at))


def thin(name, data):
    """Whether a file takes about as many blocks as it has data."""
    taken = os.stat(name).st_blocks
    return "thin" if data // 512 <= taken <= data // 512 + SPARE_BLOCKS else taken


def seen():
    """Before anything is copied up, and after. A store keeps files of an image without their runs of zeros."""
    for change in (None, lambda name: os.chmod(name, 0o600), lambda name: os.close(os.open(name, os.O_RDWR))):
        for name, data in (("hole", 8192), ("mode", MIB), ("islands", 11 * 4096), ("nothing", 0), ("full", 1_000_000)):
            path = f"dir/{name}"
            if change:
                change(path)
            fd = os.open(path, os.O_RDONLY)
            say(f"{name} size", lambda: os.fstat(fd).st_size)
            say(f"{name} data", lambda: stretches(fd))
            say(f"{name} blocks", lambda: thin(path, data))
            say(f"{name} hole in data", lambda: os.lseek(fd, 100, os.SEEK_HOLE))
            say(f"{name} data at the end", lambda: os.lseek(fd, os.fstat(fd).st_size, os.SEEK_DATA))
            say(f"{name} hole at the end", lambda: os.lseek(fd, os.fstat(fd).st_size, os.SEEK_HOLE))
            say(f"{name} beyond the end", lambda: os.lseek(fd, os.fstat(fd).st_size + 1, os.SEEK_HOLE))
            say(f"{name} in the hole", lambda: os.pread(fd, 8, 2 * MIB + 5))
            os.close(fd)
    say("tail", lambda: os.pread(os.open("dir/hole", os.O_RDONLY), 10, HOLE - 4))


def changed():
    """Holes that are filled and made."""
    fd = os.open("dir/hole", os.O_RDWR)
    say("write into the hole", lambda: os.pwrite(fd, b"island", 4 * MIB + 4096))
    say("data", lambda: stretches(fd))
    say("allocate", lambda: fallocate(fd, 0, 6 * MIB, MIB))
    say("blocks", lambda: thin("dir/hole", MIB + 3 * 4096))
    say("truncate", lambda: os.ftruncate(fd, 5 * MIB))
    say("data", lambda: stretches(fd))
    say("blocks", lambda: thin("dir/hole", 2 * 4096))
    say("grow", lambda: os.ftruncate(fd, 9 * GIB + 1))
    say("beyond", lambda: os.pread(fd, 4, 9 * GIB - 2))
    punched = os.open("dir/punched", os.O_RDWR)
    say("punch", lambda: fallocate(punched, FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE, MIB, 2 * MIB))
    say("punched data", lambda: stretches(punched))
    say("punched blocks", lambda: thin("dir/punched", 2 * MIB))
    say("punched bytes", lambda: (os.pread(punched, 4, MIB - 2), os.pread(punched, 4, 3 * MIB - 2)))
    say("zero", lambda: fallocate(punched, FALLOC_ZERO_RANGE, 0, 4096))
    say("zeros", lambda: os.pread(punched, 4, 4094))
    beyond = os.open("dir/beyond", os.O_RDWR)
    say("kept size", lambda: fallocate(beyond, FALLOC_KEEP_SIZE, 0, 8 * MIB))
    say("size", lambda: os.fstat(beyond).st_size)
    say("blocks beyond", lambda: thin("dir/beyond", 8 * MIB))


def large():
    """Offsets beyond 32 bits, in a file of the lower and in one of the upper."""
    made = os.open("dir/made", os.O_RDWR | os.O_CREAT, 0o644)
    for name, fd in (("hole", os.open("dir/hole", os.O_RDWR)), ("made", made)):
        for at in (2 * GIB - 3, 4 * GIB - 3, 4 * GIB + 5, 100 * GIB):
            say(f"{name} write at {at}", lambda: os.pwrite(fd, b"%d" % at, at))
        for at in (2 * GIB - 3, 4 * GIB - 3, 4 * GIB + 5, 100 * GIB):
            say(f"{name} read at {at}", lambda: os.pread(fd, 12, at))
        say(f"{name} size", lambda: os.stat(f"dir/{name}").st_size)
        say(f"{name} blocks", lambda: thin(f"dir/{name}", 4 * 4096))
        say(f"{name} end", lambda: os.lseek(fd, 0, os.SEEK_END))
        say(f"{name} data", lambda: stretches(fd)[-1])
        say(f"{name} append", lambda: os.write(os.open(f"dir/{name}", os.O_WRONLY | os.O_APPEND), b"end"))
        # The limit of the file system below is each one's own; what is beyond it is refused.
        say(f"{name} too large", lambda: os.ftruncate(fd, 1 << 62))
        say(f"{name} a write too far", lambda: os.pwrite(fd, b"x", (1 << 63) - 4096))
        say(f"{name} less than nothing", lambda: os.ftruncate(fd, -1))
        say(f"{name} cut", lambda: (os.ftruncate(fd, 4 * GIB + 1), os.fstat(fd).st_size))


def copied():
    """copy_file_range and sendfile between lower and upper files, over holes."""
    source = os.open("dir/islands", os.O_RDONLY)
    target = os.open("dir/copy", os.O_RDWR | os.O_CREAT, 0o644)
    at = 0
    while moved := os.copy_file_range(source, target, 64 * MIB, at, at):
        at += moved
    say("copied", lambda: (at, os.fstat(target).st_size))
    same = all(os.pread(source, MIB, n * MIB) == os.pread(target, MIB, n * MIB) for n in range(40))
    tell("equal", same)
    full = os.open("dir/full", os.O_RDWR)
    say("into a lower file", lambda: os.copy_file_range(source, full, 4096, MIB, 8192))
    say("there", lambda: os.pread(full, 6, 8190))
    say("within", lambda: os.copy_file_range(full, full, 4096, 8192, 16384))
    say("overlapping", lambda: os.copy_file_range(full, full, 4096, 8192, 8193))
    say("sendfile", lambda: os.sendfile(target, source, MIB, 100_000))
    say("sent", lambda: os.pread(target, 8, 0))


run(lower, {"seen": seen, "changed": changed, "large": large, "copied": copied})
