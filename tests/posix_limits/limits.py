"""Limits of the disk and of the caller: the right errno, and the file is as before or as after."""

import os
import resource
import signal

from calls import answer_of, fallocate, in_child, read_file, run, say, tell, write_file

MIB = 1 << 20
LARGE = bytes(range(256)) * 4096


def lower():
    for name in ("large", "written", "mode", "emptied", "renamed", "removed"):
        write_file(name, LARGE)
    write_file("fsize", LARGE[:10_000])
    os.mkdir("dir")
    for n in range(20):
        write_file(f"dir/{n}", b"small")


def figures():
    """What statvfs(2) says is what it says of the disk that changes go to."""
    stat = os.statvfs(".")
    tell("sizes", (stat.f_bsize, stat.f_frsize, stat.f_namemax))
    tell("disk", (stat.f_blocks, stat.f_files))
    before = os.statvfs(".").f_bfree * stat.f_frsize
    write_file("ballast", b"b" * 4 * MIB)
    os.sync()
    taken = before - os.statvfs(".").f_bfree * stat.f_frsize
    tell("taken", 4 * MIB <= taken < 5 * MIB)
    fd = os.open("ballast", os.O_RDONLY)
    tell("by a descriptor", os.fstatvfs(fd).f_blocks == stat.f_blocks)
    tell("reserved", stat.f_bavail <= stat.f_bfree)
    os.close(fd)
    os.unlink("ballast")


def filled():
    """Takes all that is left of the disk."""
    fd = os.open("ballast", os.O_WRONLY | os.O_CREAT, 0o600)
    size = MIB
    while size >= 4096:
        try:
            while True:
                fallocate(fd, 0, os.fstat(fd).st_size, size)
        except OSError:
            size //= 2
    os.fsync(fd)
    os.close(fd)


def full():
    """A disk without room. What needs none goes on; what needs some is refused and leaves the file as it was."""
    made = os.open("made", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(made, b"before")
    filled()
    say("open a lower file for writing", lambda: os.close(os.open("written", os.O_RDWR)))
    tell("it is whole", read_file("written") == LARGE)
    say("change a lower file's mode", lambda: os.chmod("mode", 0o600))
    tell("it is whole too", read_file("mode") == LARGE)
    say("cut a lower file", lambda: os.truncate("large", 2 * MIB - MIB - 5))
    tell("nothing is lost", len(read_file("large")) in (MIB, MIB - 5))
    say("write much", lambda: write_file("much", LARGE * 4))
    say("allocate", lambda: fallocate(made, 0, 0, 8 * MIB))
    say("it is as before", lambda: os.pread(made, 10, 0))
    say("remove a lower file", lambda: os.unlink("removed"))
    say("it is gone", lambda: os.stat("removed"))
    say("remove small ones", lambda: [os.unlink(f"dir/{n}") for n in range(20)] and None)
    say("and their directory", lambda: os.rmdir("dir"))
    os.unlink("ballast")
    say("there is room again", lambda: write_file("written", LARGE * 2))
    tell("written", read_file("written") == LARGE * 2)
    say("mode", lambda: os.chmod("mode", 0o600))
    say("write", lambda: os.pwrite(made, LARGE, 0))
    os.close(made)
    for name in ("made", "much", "written"):
        os.unlink(name)
    tell("names", sorted(os.listdir(".")))


def limited(deed):
    """In a process that may have files of 100,000 bytes: what it is answered, and how often it was signalled."""
    def child():
        told = []
        signal.signal(signal.SIGXFSZ, lambda *_: told.append(1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        return answer_of(deed), len(told)
    return in_child(child)


def fsize():
    write_file("new", b"new")
    for name in ("fsize", "new"):
        tell(f"{name} write", limited(lambda: os.pwrite(os.open(name, os.O_RDWR), b"x", 2 * MIB)))
        tell(f"{name} write up to it", limited(lambda: os.pwrite(os.open(name, os.O_RDWR), b"x" * 5000, 99_000)))
        tell(f"{name} at it", limited(lambda: os.pwrite(os.open(name, os.O_RDWR), b"x", 100_000)))
        tell(f"{name} truncate", limited(lambda: os.truncate(name, 200_000)))
        tell(f"{name} ftruncate", limited(lambda: os.ftruncate(os.open(name, os.O_RDWR), 3 * MIB)))
        tell(f"{name} allocate", limited(lambda: fallocate(os.open(name, os.O_RDWR), 0, 0, 3 * MIB)))
        tell(f"{name} append", limited(lambda: os.write(os.open(name, os.O_WRONLY | os.O_APPEND), b"x" * 300_000)))
        tell(f"{name} size", os.stat(name).st_size)
        tell(f"{name} mode and size", limited(lambda: (os.chmod(name, 0o600), os.truncate(name, 10))))


def larger():
    """A file that is larger than the caller's limit is copied up by it."""
    tell("copied up", limited(lambda: os.close(os.open("large", os.O_RDWR))))
    tell("its size", os.stat("large").st_size)


run(lower, {"figures": figures, "full": full, "fsize": fsize, "larger": larger})
