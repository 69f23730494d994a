"""Lower files that the kernel reads itself, held in every way while each thing is done to them that makes them another file.

They look like programs, so that the kernel is given them. Where a line begins with "old" it is of what was opened before."""

import ctypes
import fcntl
import mmap
import os
import subprocess
import sys

from calls import LIBC, Watch, answer_of, call, in_child, read_file, run, say, tell, write_file
from served import History

PAGE = mmap.PAGESIZE
IS_OURS = any(tree in os.path.realpath(sys.argv[2]).split("/") for tree in ("image", "directories"))
IS_SOAK = os.environ.get("LAYERFS_SOAK") == "1"
SEEDS, STEPS = (400 if IS_SOAK else 40), 120
BEGIN = b"\x7fELF"
OLD = BEGIN + b"old." + b"o" * (3 * PAGE - 8)


def write(name):
    with open(name, "r+b", buffering=0) as file:
        file.write(b"NEW-new!")


def append(name):
    with open(name, "ab", buffering=0) as file:
        file.write(b"appended")


def empty(name):
    os.close(os.open(name, os.O_WRONLY | os.O_TRUNC))


def store(name):
    fd = os.open(name, os.O_RDWR)
    with mmap.mmap(fd, PAGE) as memory:
        memory[:8] = b"STORED!!"
    os.close(fd)


def cut(name):
    os.truncate(name, 100)


def empty_by_name(name):
    os.truncate(name, 0)


def mode(name):
    os.chmod(name, 0o711)


def link(name):
    os.link(name, name + ".more")


def rename(name):
    os.rename(name, name + ".moved")
    os.rename(name + ".moved", name)


def replace(name):
    write_file(name + ".new", b"replaced", 0o755)
    os.rename(name + ".new", name)


def unlink(name):
    os.unlink(name)


def mode_and_write(name):
    mode(name)
    write(name)


DEEDS = [write, append, empty, store, cut, empty_by_name, mode, link, rename, replace, unlink, mode_and_write]
HELD = ["reader", "mapping", "both", "direct"]


def lower():
    for held in HELD:
        for deed in DEEDS:
            for name in (f"{held}-{deed.__name__}", f"{held}-{deed.__name__}-linked"):
                write_file(name, OLD, 0o755)
            os.link(f"{held}-{deed.__name__}-linked", f"{held}-{deed.__name__}-other")
    for seed in range(SEEDS):
        os.mkdir(f"h{seed}")
        for name in "abc":
            write_file(f"h{seed}/{name}", BEGIN + bytes([ord(name)]) * (2 * PAGE + 6), 0o755)
    for name in ("twice", "locked", "watched", "opened-again", "linked", "one", "two", "program.so"):
        write_file(name, OLD, 0o644 if name.endswith(".so") else 0o755)
    for name in ("linked", "one", "two"):
        os.link(name, f"{name}-other")
    for name in ("running",):
        with open("/bin/sleep", "rb") as program:
            write_file(name, program.read(), 0o755)
    write_file("script", b"#!/bin/sh\n" + b"# nothing\n" * 1000, 0o755)
    write_file("data", b"d" * 10000)


def cached(fd):
    """Pages that the inode of an open file has in memory itself."""
    numbers = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
    if LIBC.syscall(451, fd, numbers[0], numbers[1], 0) != 0:
        raise OSError(ctypes.get_errno(), "cachestat")
    return numbers[1][0]


def is_given(fd):
    """Whether the kernel reads an open file of ours elsewhere than in the mount: nothing of that is in memory here."""
    call("posix_fadvise", fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.pread(fd, 100, 0)
    return cached(fd) == 0


def tell_given(name, expected):
    fd = os.open(name, os.O_RDONLY)
    found = is_given(fd) if IS_OURS else expected
    os.close(fd)
    tell(f"{name} is given", found)


class Held:
    """A file held as `how` says, before anything is done to it."""

    def __init__(self, how, name):
        flags = os.O_RDONLY | (os.O_DIRECT if how == "direct" else 0)
        self.fd = os.open(name, flags)
        self.memory = mmap.mmap(self.fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ) if how in ("mapping", "both") else None
        if how == "mapping":
            os.close(self.fd)
            self.fd = None

    def close(self):
        if self.memory is not None:
            self.memory.close()
        if self.fd is not None:
            os.close(self.fd)


def transitions():
    for how in HELD:
        for deed in DEEDS:
            one_transition(how, deed, "")
            one_transition(how, deed, "-linked")


def shown(name):
    stat = os.stat(name)
    return stat.st_size, oct(stat.st_mode), stat.st_nlink


def one_transition(how, deed, kind):
    name, label = f"{how}-{deed.__name__}{kind}", f"{how} {deed.__name__}{kind}"
    names = [name] + ([name.replace("-linked", "-other")] if kind else [])
    number = os.stat(name).st_ino
    held = Held(how, name)
    say(f"{label} is done", lambda: deed(name))
    for at in names:
        say(f"{label} {at} reads", lambda: read_file(at)[:8])
        say(f"{label} {at} shows", lambda: shown(at))
    if held.fd is not None:
        tell(f"{label} held shows at once", (os.fstat(held.fd).st_size, oct(os.fstat(held.fd).st_mode)))
    if deed not in (replace, unlink):
        tell(f"{label} same number", [os.stat(at).st_ino == number for at in names])
        held_again(held, label, name)
    numbers(held, label, number)
    held.close()
    for at in names:
        say(f"{label} {at} reads at last", lambda: read_file(at)[-8:])
        say(f"{label} {at} is written", lambda: write(at))
        say(f"{label} {at} reads then", lambda: read_file(at)[:12])


def held_again(held, label, name):
    """What one inode is given the other shows."""
    if held.fd is None:
        return
    os.fchmod(held.fd, 0o700)
    tell(f"{label} mode by its descriptor", oct(os.stat(name).st_mode))
    os.chmod(name, 0o750)
    tell(f"{label} mode by its name", oct(os.fstat(held.fd).st_mode))
    os.setxattr(held.fd, "user.by", b"descriptor")
    tell(f"{label} attribute", os.getxattr(name, "user.by"))
    say(f"{label} fsync", lambda: os.fsync(held.fd))


def numbers(held, label, number):
    if held.fd is not None:
        tell(f"{label} held number", os.fstat(held.fd).st_ino == number)
        room = mmap.mmap(-1, PAGE)
        tell(f"old {label} reads", (os.preadv(held.fd, [room], 0) > 0, room[:8]))
        tell(f"{label} held shows", (os.fstat(held.fd).st_size, oct(os.fstat(held.fd).st_mode)))
        say(f"old {label} hole", lambda: os.lseek(held.fd, 0, os.SEEK_HOLE))
    if held.memory is not None:
        # Of an empty file there is no page.
        print(f"old {label} maps: {in_child(lambda: held.memory[:8])}", flush=True)


def chosen():
    """Programs and shared objects are given, other files are not; nor is what was changed, until it is opened again."""
    for name, expected in (("twice", True), ("program.so", True), ("script", False), ("data", False)):
        tell_given(name, expected)


def kept():
    """What the server has read stays in memory from one open to the next; what goes by another inode meanwhile does not."""
    tell("a program", read_file("program.so")[:4])
    for name in ("data", "script"):
        read_file(name)
        fd = os.open(name, os.O_RDONLY)
        tell(f"{name} is in memory when it is opened again", not IS_OURS or cached(fd) > 0)
        os.close(fd)
    # Pages that the server left are not shown any more when the file was written by another inode, which has gone since.
    tell("both names", [os.stat(name).st_nlink for name in ("linked", "linked-other")])
    for _ in range(3):
        fd = os.open("linked-other", os.O_RDONLY | os.O_DIRECT)
        tell("by the server", read_file("linked-other")[:8])
        os.close(fd)
        reader = os.open("linked-other", os.O_RDONLY)
        tell("by the kernel", os.pread(reader, 4, 0))
    write("linked")
    tell("old by the kernel", os.pread(reader, 8, 0))
    os.close(reader)
    os.unlink("linked")
    fd = os.open("linked-other", os.O_RDONLY | os.O_DIRECT)
    tell("by the server again", read_file("linked-other")[:8])
    os.close(fd)


def twice():
    """What was sent to another inode once goes on there, and comes back when everybody has let go."""
    readers = [os.open("twice", os.O_RDONLY)]
    for turn in range(3):
        with open("twice", "r+b", buffering=0) as file:
            file.write(b"turn %d" % turn)
        readers.append(os.open("twice", os.O_RDONLY))
        tell(f"old {turn} first reads", os.pread(readers[0], 6, 0))
        tell(f"{turn} others read", [os.pread(fd, 6, 0) for fd in readers[1:]])
    for fd in readers:
        os.close(fd)
    write("twice")
    tell("at last", read_file("twice")[:8])


def names():
    """Names that lead to the first inode still are those of the second, when nobody reads the layer any more."""
    for first, second, read, written in (("one-other", "one", "one", "one-other"), ("two-other", "two", "two-other", "two")):
        tell(f"{first} and {second}", [os.stat(name).st_nlink for name in (first, second)])
        reader = os.open(first, os.O_RDONLY)
        write(second)
        os.close(reader)
        for turn in range(5):
            # Served through the page cache, where a write that goes past it would not show.
            fd = os.open(read, os.O_RDONLY | os.O_DIRECT)
            other = os.open(read, os.O_RDONLY)
            tell(f"{read} {turn} before", os.pread(other, 8, 0))
            with open(written, "r+b", buffering=0) as file:
                file.write(b"other %d." % turn)
            tell(f"{read} {turn} after", os.pread(other, 8, 0))
            os.close(other)
            os.close(fd)


def exceptions():
    """What is lost of a descriptor that was opened before the copy-up."""
    held = os.open("locked", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    other = os.open("locked", os.O_RDWR)
    say("old lock keeps others away", lambda: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB))
    os.close(other)
    os.close(held)

    watch = Watch()
    watch.add("watched", 0x2)
    held = os.open("watched", os.O_RDONLY)
    write("watched")
    tell("old watch sees a write", len(watch.events()) > 0)
    os.close(held)
    os.close(watch.fd)

    held = os.open("opened-again", os.O_RDONLY)
    tell("before it is opened again", os.read(os.open(f"/proc/self/fd/{held}", os.O_RDONLY), 4))
    write("opened-again")
    say("old opened again to read", lambda: os.read(os.open(f"/proc/self/fd/{held}", os.O_RDONLY), 8))
    say("old opened again to write", lambda: os.close(os.open(f"/proc/self/fd/{held}", os.O_WRONLY)))
    os.close(held)
    say("opened by name", lambda: read_file("opened-again")[:8])


def running():
    """A program that runs is not written, whatever was done to it before."""
    ran = subprocess.Popen(["./running", "100"])
    say("written", lambda: write("running"))
    say("emptied by name", lambda: os.truncate("running", 0))
    os.chmod("running", 0o711)
    tell("runs again", subprocess.run(["./running", "0"], check=False).returncode)
    say("written after its mode", lambda: write("running"))
    say("emptied by name after its mode", lambda: os.truncate("running", 0))
    say("emptied to be read", lambda: os.close(os.open("running", os.O_RDONLY | os.O_TRUNC)))
    tell("is running", ran.poll())
    ran.kill()
    ran.wait()
    say("written when it has ended", lambda: write("running"))
    tell("reads", read_file("running")[:8])
    say("what is no program any more does not run", lambda: subprocess.run(["./running"], check=False).returncode)


class Given(History):
    """A history whose readers of before a copy-up go on reading the layer, as what they mapped does."""

    def __init__(self, seed):
        super().__init__(seed)
        self.seed, self.changed, self.old, self.old_maps = f"h{seed}", set(), {}, {}

    def name(self):
        return f"{self.seed}/{self.chance.choice('abcd')}"

    def change(self, name):
        try:
            self.changed.add(os.stat(name).st_ino)
        except FileNotFoundError:
            pass

    def open(self):
        before = len(self.files)
        how, name = super().open()
        if len(self.files) > before:
            fd = self.files[-1]
            number = os.fstat(fd).st_ino
            if how == "read" and number not in self.changed:
                self.old[fd] = OLD_OF[os.fstat(fd).st_size, os.pread(fd, 5, 0)[4:]]
            else:
                self.changed.add(number)
        return how, name

    def close(self):
        at = self.one(self.files)
        if at is None:
            return None
        fd = self.files.pop(at)
        self.old.pop(fd, None)
        return os.close(fd)

    def read(self):
        at, offset = self.one(self.files), self.chance.randrange(3 * PAGE)
        if at is None:
            return None
        found = os.pread(self.files[at], 40, offset)
        old = self.old.get(self.files[at])
        return found if old is None or IS_OURS else old[offset:offset + 40]

    def map(self):
        at, stores = self.one(self.files), self.chance.random() < 0.5
        if at is None or len(self.maps) >= 4:
            return None
        access = mmap.PROT_READ | (mmap.PROT_WRITE if stores else 0)
        if os.fstat(self.files[at]).st_size < PAGE:
            return "short"
        memory = mmap.mmap(self.files[at], PAGE, mmap.MAP_SHARED, access)
        self.maps.append((memory, stores))
        if self.files[at] in self.old:
            self.old_maps[id(memory)] = self.old[self.files[at]]
        return stores

    def load(self):
        memory, _ = self.mapped()
        if memory is None:
            return None
        old = self.old_maps.get(id(memory))
        return memory[:20] if old is None or IS_OURS else old[:20]

    def unmap(self):
        at = self.one(self.maps)
        if at is None:
            return None
        memory = self.maps.pop(at)[0]
        self.old_maps.pop(id(memory), None)
        return memory.close()

    def rename(self):
        source, target = self.name(), self.name()
        if source != target:
            self.change(source)
        return os.rename(source, target)

    def chmod(self):
        name, permissions = self.name(), self.chance.choice((0o755, 0o700))
        self.change(name)
        return os.chmod(name, permissions)


OLD_OF = {(2 * PAGE + 10, name.encode()): BEGIN + name.encode() * (2 * PAGE + 6) for name in "abc"}


def histories():
    for seed in range(SEEDS):
        history = Given(seed)
        for number in range(STEPS):
            tell(f"{seed}.{number}", history.step())
        for memory, _ in history.maps:
            memory.close()
        for fd in history.files:
            os.close(fd)
        for name in "abcd":
            tell(f"{seed} {name}", answer_of(lambda: open(f"h{seed}/{name}", "rb").read()))


if __name__ == "__main__":
    run(lower, {"transitions": transitions, "chosen": chosen, "kept": kept, "twice": twice, "names": names,
                "exceptions": exceptions, "running": running, "histories": histories})
