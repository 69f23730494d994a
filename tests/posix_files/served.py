"""Random histories of open files: who serves them, the kernel or the process behind the mount, changes while others have the same
file open, mapped, renamed or unlinked, and nobody may tell."""

import mmap
import os
import random

from calls import answer_of, run, tell, until, write_file

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
        memory.close()
        os.close(fd)
        until(lambda: os.stat(name).st_mtime_ns != 10**18, f"{name} has its old time")
        tell(f"{name} shows it", os.stat(name).st_size)


run(lower, {"histories": histories, "stored": stored})
