"""Random histories of open files: who serves them, the kernel or the process behind the mount, changes while others have the same
file open, mapped, renamed or unlinked, and nobody may tell."""

import ctypes
import fcntl
import mmap
import os
import random
import select

from calls import LIBC, answer_of, run, tell, until, write_file

PAGE = mmap.PAGESIZE
IS_SOAK = os.environ.get("LAYERFS_SOAK") == "1"
SEEDS, STEPS = (400 if IS_SOAK else 40), 120
OPENED = {"read": os.O_RDONLY, "write": os.O_RDWR, "empty": os.O_RDWR | os.O_TRUNC, "append": os.O_RDWR | os.O_APPEND,
          "make": os.O_RDWR | os.O_CREAT, "only": os.O_WRONLY}


def lower():
    os.mkdir("dir")
    for seed in range(SEEDS):
        os.mkdir(f"dir/{seed}")
        for name in "abc":
            write_file(f"dir/{seed}/{name}", bytes([ord(name)]) * (2 * PAGE + 10))


class History:
    """One history: what is open and what is mapped, by numbers."""

    def __init__(self, seed):
        self.chance, self.seed = random.Random(seed), seed
        self.files, self.maps = [], []

    def name(self):
        return f"dir/{self.seed}/{self.chance.choice('abcd')}"

    def step(self):
        deeds = [self.open] * 4 + [self.read] * 4 + [self.write] * 3 + [self.close] * 2 + [self.map, self.load, self.store] * 2
        deeds += [self.unmap, self.cut, self.rename, self.unlink, self.size, self.sync, self.chmod, self.look, self.drop]
        deed = self.chance.choice(deeds)
        return deed.__name__, answer_of(deed)

    def open(self):
        how, name = self.chance.choice(list(OPENED)), self.name()
        if len(self.files) < 8:
            self.files.append(os.open(name, OPENED[how], 0o644))
        return how, name

    def one(self, of):
        return self.chance.randrange(len(of)) if of else None

    def read(self):
        at, offset = self.one(self.files), self.chance.randrange(3 * PAGE)
        return None if at is None else os.pread(self.files[at], 40, offset)

    def write(self):
        at, offset, letter = self.one(self.files), self.chance.randrange(3 * PAGE), self.chance.randrange(65, 90)
        return None if at is None else os.pwrite(self.files[at], bytes([letter]) * 33, offset)

    def close(self):
        at = self.one(self.files)
        return None if at is None else os.close(self.files.pop(at))

    def map(self):
        at, stores = self.one(self.files), self.chance.random() < 0.5
        if at is None or len(self.maps) >= 4:
            return None
        access = mmap.PROT_READ | (mmap.PROT_WRITE if stores else 0)
        if os.fstat(self.files[at]).st_size < PAGE:
            return "short"
        self.maps.append((mmap.mmap(self.files[at], PAGE, mmap.MAP_SHARED, access), stores))
        return stores

    def mapped(self):
        """A mapping whose page the file still has: beyond its end is a signal."""
        at = self.one(self.maps)
        if at is None or self.maps[at][0].size() < PAGE:
            return None, False
        return self.maps[at]

    def load(self):
        memory, _ = self.mapped()
        return None if memory is None else memory[:20]

    def store(self):
        memory, stores = self.mapped()
        if memory is None or not stores:
            return None
        memory[100:104] = b"STOR"
        return memory[98:106]

    def unmap(self):
        at = self.one(self.maps)
        return None if at is None else self.maps.pop(at)[0].close()

    def cut(self):
        at, size = self.one(self.files), self.chance.choice((0, 100, PAGE, 3 * PAGE))
        return None if at is None else os.ftruncate(self.files[at], size)

    def rename(self):
        return os.rename(self.name(), self.name())

    def unlink(self):
        return os.unlink(self.name())

    def size(self):
        at = self.one(self.files)
        if at is None:
            return None
        stat = os.fstat(self.files[at])
        return stat.st_size, stat.st_nlink, oct(stat.st_mode)

    def sync(self):
        at = self.one(self.files)
        return None if at is None else os.fsync(self.files[at])

    def chmod(self):
        return os.chmod(self.name(), self.chance.choice((0o644, 0o600)))

    def look(self):
        """By its name, as another program would."""
        name = self.name()
        fd = os.open(name, os.O_RDONLY)
        try:
            return name, os.read(fd, 4 * PAGE)
        finally:
            os.close(fd)

    def drop(self):
        at = self.one(self.files)
        return None if at is None else os.posix_fadvise(self.files[at], 0, 0, os.POSIX_FADV_DONTNEED)


def histories():
    for seed in range(SEEDS):
        history = History(seed)
        for number in range(STEPS):
            tell(f"{seed}.{number}", history.step())
        for memory, _ in history.maps:
            memory.close()
        for fd in history.files:
            os.close(fd)
        for name in "abcd":
            tell(f"{seed} {name}", answer_of(lambda: open(f"dir/{seed}/{name}", "rb").read()))


def stored():
    """A store through a mapping is a change of the contents: it shows in the times, with the last close at the latest."""
    for name in ("dir/0/a", "dir/0/new"):
        fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
        os.pwrite(fd, b"x" * PAGE, 0)
        memory = mmap.mmap(fd, PAGE)
        os.utime(name, ns=(10**18, 10**18))
        tell(f"{name} set", os.fstat(fd).st_mtime_ns)
        memory[0:5] = b"store"
        memory.flush()
        until(lambda: os.fstat(fd).st_mtime_ns != 10**18, f"{name} has its old time while it is open")
        os.utime(name, ns=(10**18, 10**18))
        tell(f"{name} set again", os.fstat(fd).st_mtime_ns)
        memory[0:5] = b"again"
        memory.close()
        os.close(fd)
        until(lambda: os.stat(name).st_mtime_ns != 10**18, f"{name} has its old time")
        tell(f"{name} shows it", os.stat(name).st_size)


def outlived():
    """A mapping that outlives its descriptor goes on changing the file. Python's own keeps a copy of the descriptor."""
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    for name in ("dir/0/b", "dir/0/mapped"):
        fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
        os.pwrite(fd, b"x" * PAGE, 0)
        memory = LIBC.mmap(None, PAGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
        os.close(fd)
        for _ in range(3):
            # Whoever is asked again and again says at last how it is without the descriptor.
            os.utime(name, ns=(10**18, 10**18))
            select.select([], [], [], 0.4)
            tell(f"{name} set", os.stat(name).st_mtime_ns)
        ctypes.memmove(memory, b"store", 5)
        until(lambda: os.stat(name).st_mtime_ns != 10**18, f"{name} has its old time")
        tell(f"{name} shows it", (os.stat(name).st_size, open(name, "rb").read(5)))
        LIBC.munmap(ctypes.c_void_p(memory), ctypes.c_size_t(PAGE))
        os.utime(name, ns=(10**18, 10**18))
        tell(f"{name} set again", [os.stat(name).st_mtime_ns for _ in range(3)])


def flags():
    """What a descriptor was opened with may be taken back (`F_SETFL`), and given."""
    for name in ("dir/0/c", "dir/0/flagged"):
        for first in (None, os.O_RDONLY, os.O_RDWR):
            held = None if first is None else os.open(name, first | os.O_CREAT, 0o644)
            fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
            os.write(fd, b"0123456789")
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_APPEND)
            os.lseek(fd, 0, os.SEEK_SET)
            tell(f"{name} {first} append taken back", (os.write(fd, b"X"), os.pread(fd, 20, 0)))
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
            tell(f"{name} {first} append given", (os.pwrite(fd, b"Y", 0), os.pread(fd, 20, 0)))
            os.close(fd)
            fd = os.open(name, os.O_RDWR | os.O_TRUNC | os.O_DIRECT)
            memory = mmap.mmap(-1, PAGE)
            memory[:] = b"d" * PAGE
            tell(f"{name} {first} direct", os.writev(fd, [memory]))
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_DIRECT)
            tell(f"{name} {first} direct taken back", (os.write(fd, b"odd"), os.fstat(fd).st_size, os.pread(fd, 5, PAGE)))
            os.close(fd)
            if held is not None:
                tell(f"{name} {first} held", (os.fstat(held).st_size, os.pread(held, 5, PAGE)))
                os.close(held)
            os.chmod(name, 0o6755)
            fd = os.open(name, os.O_WRONLY | os.O_APPEND)
            tell(f"{name} {first} set-id", (os.write(fd, b"x"), oct(os.fstat(fd).st_mode)))
            os.close(fd)


if __name__ == "__main__":
    run(lower, {"histories": histories, "stored": stored, "outlived": outlived, "flags": flags})
