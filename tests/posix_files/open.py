"""What a descriptor that was opened before a change of its file can do after it."""

import mmap
import os

from calls import (FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, answer_of, call, fallocate, link_open, link_proc, read_file, run, say,
                   tell, write_file)

TEXT = b"0123456789" * 1000
MOMENT = (1_500_000_000_123_456_789, 1_400_000_000_987_654_321)
MODES = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR, "a": os.O_RDWR | os.O_APPEND}


def lower():
    os.mkdir("dir")
    for name in MODES:
        write_file(f"dir/{name}", TEXT)
        write_file(f"dir/{name}-over", b"over")
    for event in ("kept", "renamed", "unlinked"):
        write_file(f"dir/place-{event}", TEXT)


def upper_too():
    for name in MODES:
        write_file(f"dir/{name}-new", TEXT)


def stat_of(fd):
    stat = os.fstat(fd)
    return oct(stat.st_mode), stat.st_nlink, stat.st_size, stat.st_uid, stat.st_gid


def reopened(fd, flags):
    other = os.open(f"/proc/self/fd/{fd}", flags)
    try:
        return os.read(other, 12) if flags == os.O_RDONLY else os.pwrite(other, b"again", 20)
    finally:
        os.close(other)


def mapped(fd):
    length = min(4096, os.fstat(fd).st_size)
    if not length:
        return "empty"
    with mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ) as mapping:
        return mapping[:8]


def every_call(label, fd, name):
    """All calls on one descriptor. Those that only look come first: from the first that changes, a lower file is copied."""
    def one(word, deed):
        say(f"{label} {word}", deed)

    one("fstat", lambda: stat_of(fd))
    one("pread", lambda: os.pread(fd, 12, 4090))
    one("seek data", lambda: os.lseek(fd, 0, os.SEEK_DATA))
    one("seek hole", lambda: os.lseek(fd, 0, os.SEEK_HOLE))
    one("mmap", lambda: mapped(fd))
    one("fgetxattr", lambda: os.getxattr(fd, "user.none"))
    one("reopen", lambda: reopened(fd, os.O_RDONLY))
    one("fchmod", lambda: os.fchmod(fd, 0o640))
    one("fchown", lambda: os.fchown(fd, 1, 2))
    one("fsetxattr", lambda: os.setxattr(fd, "user.word", b"value"))
    one("fgetxattr", lambda: os.getxattr(fd, "user.word"))
    one("flistxattr", lambda: sorted(os.listxattr(fd)))
    one("fremovexattr", lambda: os.removexattr(fd, "user.word"))
    one("futimens", lambda: os.utime(fd, ns=MOMENT))
    one("times", lambda: (os.fstat(fd).st_atime_ns, os.fstat(fd).st_mtime_ns))
    one("pwrite", lambda: os.pwrite(fd, b"written", 3))
    one("ftruncate", lambda: os.ftruncate(fd, 5000))
    one("fallocate", lambda: fallocate(fd, 0, 0, 6000))
    one("fallocate beyond", lambda: fallocate(fd, FALLOC_KEEP_SIZE, 8000, 4096))
    one("punch", lambda: fallocate(fd, FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE, 4096, 4096))
    one("reopen for writing", lambda: reopened(fd, os.O_WRONLY))
    one("fsync", lambda: os.fsync(fd))
    one("fdatasync", lambda: os.fdatasync(fd))
    one("readahead", lambda: call("readahead", fd, 0, 4096))
    one("fstatvfs", lambda: os.fstatvfs(fd).f_namemax)
    one("linkat empty", lambda: link_open(fd, f"{name}-empty"))
    one("linkat proc", lambda: link_proc(fd, f"{name}-proc"))
    one("fstat", lambda: stat_of(fd))
    one("contents", lambda: hash_of(fd))


def hash_of(fd):
    fresh = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    try:
        data = os.read(fresh, 1 << 20)
        return len(data), data[:30], data[4000:4200].count(0), data[-4:]
    finally:
        os.close(fresh)


def after(event):
    def case():
        upper_too()
        held = []
        for origin in ("", "-new"):
            for word, flags in MODES.items():
                name = f"dir/{word}{origin}"
                fd = os.open(name, flags)
                held.append(fd)
                event(name)
                every_call(f"{word}{origin}", fd, name)
        for fd in held:
            os.close(fd)
        tell("names", sorted(os.listdir(".") + os.listdir("moved" if os.path.exists("moved") else "dir")))
        for name in sorted(os.listdir("dir") if os.path.exists("dir") else []):
            say(f"left {name}", lambda name=name: (os.stat(f"dir/{name}").st_nlink, len(read_file(f"dir/{name}"))))
    return case


def copied_by_mode(name):
    os.chmod(name, 0o600)


def copied_by_writer(name):
    fd = os.open(name, os.O_WRONLY)
    os.pwrite(fd, b"WRITER", 0)
    os.close(fd)


def replaced(name):
    write_file(f"{name}-temporary", b"temporary")
    os.rename(f"{name}-temporary", name)


def renamed_over(name):
    over = name.replace("-new", "") + "-over"
    write_file(over, b"over")
    os.rename(name, over)


def copied_and_unlinked(name):
    copied_by_writer(name)
    os.unlink(name)


def unlinked_and_made_anew(name):
    os.unlink(name)
    write_file(name, b"another")


def emptied(name):
    os.truncate(name, 0)


def readers_see():
    """A reader and a read-only mapping of before the copy-up, a writer of after it."""
    reader = os.open("dir/r", os.O_RDONLY)
    shared = mmap.mmap(reader, 10000, mmap.MAP_SHARED, mmap.PROT_READ)
    tell("before", (os.read(reader, 6), shared[:6]))
    writer = os.open("dir/r", os.O_RDWR)
    os.pwrite(writer, b"NEWNEW", 0)
    say("read", lambda: os.pread(reader, 6, 0))
    say("mapping", lambda: shared[:6])
    os.write(os.open("dir/r", os.O_WRONLY | os.O_APPEND), b"tail")
    say("size", lambda: os.fstat(reader).st_size)
    say("end", lambda: os.pread(reader, 10, 9998))
    os.ftruncate(writer, 9000)
    say("cut", lambda: (os.fstat(reader).st_size, os.pread(reader, 10, 8995)))
    os.rename("dir/r", "dir/elsewhere")
    os.pwrite(writer, b"RENAMED", 0)
    say("after rename", lambda: os.pread(reader, 7, 0))
    os.unlink("dir/elsewhere")
    os.pwrite(writer, b"GONE", 0)
    say("after unlink", lambda: os.pread(reader, 4, 0))
    say("links", lambda: os.fstat(reader).st_nlink)


CASES = {
    "nothing": after(lambda name: None),
    "mode": after(copied_by_mode),
    "writer": after(copied_by_writer),
    "unlinked": after(os.unlink),
    "copied_and_unlinked": after(copied_and_unlinked),
    "renamed": after(lambda name: os.rename(name, f"{name}-moved")),
    "renamed_over": after(renamed_over),
    "replaced": after(replaced),
    "anew": after(unlinked_and_made_anew),
    "emptied": after(emptied),
    "readers_see": readers_see,
}


def directory_renamed():
    held = {name: os.open(f"dir/{name}", flags) for name, flags in MODES.items()}
    os.rename("dir", "moved")
    for name, fd in held.items():
        every_call(name, fd, f"moved/{name}")
    tell("names", sorted(os.listdir("moved")))
    say("old", lambda: os.listdir("dir"))


def directory_held():
    """A descriptor of a directory, and what is reached by it."""
    fd = os.open("dir", os.O_RDONLY | os.O_DIRECTORY)
    os.rename("dir", "moved")
    os.mkdir("dir")
    say("list", lambda: sorted(os.listdir(fd)))
    say("openat", lambda: os.read(os.open("r", os.O_RDONLY, dir_fd=fd), 4))
    say("create", lambda: os.close(os.open("made", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)))
    say("fchmod", lambda: os.fchmod(fd, 0o700))
    say("fsetxattr", lambda: os.setxattr(fd, "user.word", b"value"))
    say("where", lambda: sorted(os.listdir("moved")))
    say("mode", lambda: oct(os.stat("moved").st_mode))
    say("fsync", lambda: os.fsync(fd))
    for name in os.listdir(fd):
        os.unlink(name, dir_fd=fd)
    os.rmdir("moved")
    say("gone", lambda: answer_of(lambda: os.listdir(fd)))
    say("links", lambda: os.fstat(fd).st_nlink)
    say("no creates", lambda: os.open("made", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd))
    say("mode of what is gone", lambda: os.fchmod(fd, 0o755))
    say("owner of what is gone", lambda: os.fchown(fd, 1, 2))
    say("times of what is gone", lambda: os.utime(fd, ns=MOMENT))
    say("stat of what is gone", lambda: (oct(os.fstat(fd).st_mode), stat_of(fd)[3:], os.fstat(fd).st_mtime_ns))
    say("fsync of what is gone", lambda: os.fsync(fd))
    say("attribute of what is gone", lambda: os.getxattr(fd, "user.word"))
    say("attribute given to what is gone", lambda: os.setxattr(fd, "user.word", b"other"))
    say("attributes of what is gone", lambda: os.listxattr(fd))


def places():
    """Descriptors that hold a place and no open file, as their files go, and what can be done by them."""
    for origin in ("", "-new"):
        for event, done in (("kept", lambda name: None), ("renamed", lambda name: os.rename(name, f"{name}-moved")),
                            ("unlinked", os.unlink)):
            name = f"dir/place{origin}-{event}"
            if origin:
                write_file(name, TEXT)
            fd = os.open(name, os.O_PATH)
            done(name)
            label, way = f"place{origin} {event}", f"/proc/self/fd/{fd}"
            say(f"{label} fstat", lambda: stat_of(fd))
            say(f"{label} getxattr", lambda: os.getxattr(way, "user.none"))
            say(f"{label} open", lambda: reopened(fd, os.O_RDONLY))
            say(f"{label} open for writing", lambda: reopened(fd, os.O_WRONLY))
            say(f"{label} chmod", lambda: os.chmod(way, 0o640))
            say(f"{label} utime", lambda: os.utime(way, ns=MOMENT))
            say(f"{label} setxattr", lambda: os.setxattr(way, "user.word", b"value"))
            say(f"{label} truncate", lambda: os.truncate(way, 3))
            say(f"{label} link", lambda: link_open(fd, f"{name}-linked"))
            say(f"{label} mode", lambda: stat_of(fd))
            os.close(fd)


CASES["directory_renamed"] = directory_renamed
CASES["directory_held"] = directory_held
CASES["places"] = places
run(lower, CASES)
