"""Listings that are read while the directory changes: whatever stands throughout is given once, from every cookie on.

What is said is whether that held; the order of names is each file system's own.
"""

import ctypes
import os
import random
import struct

from calls import LIBC, call, run, say, tell

SEEDS, STEPS, NAMES = 6, 220, 60


def lower():
    os.mkdir("merged")
    os.mkdir("lower")
    os.mkdir("large")
    for n in range(NAMES):
        os.mknod(f"merged/lower-{n}", 0o100644)
        os.mknod(f"lower/lower-{n}", 0o100644)
        os.mknod(f"large/lower-{n}-{'x' * (n * 4 % 200)}", 0o100644)


class Stream:
    """A directory read by getdents64 with a buffer of any size."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.start()

    def start(self):
        os.lseek(self.fd, 0, os.SEEK_SET)
        # Names given so far, with the cookie behind each; what was changed since the start is nobody's promise.
        self.given, self.touched, self.ended = [], set(), False

    def piece(self, size):
        """The next names: an empty list at the end."""
        room = ctypes.create_string_buffer(size)
        length = call("getdents64", self.fd, ctypes.byref(room), size)
        found, at = [], 0
        while at < length:
            _, cookie, record = struct.unpack_from("<QqH", room.raw, at)
            name = room.raw[at + 19:at + record].split(b"\0")[0].decode()
            found.append((name, cookie))
            at += record
        return found

    def read(self, size):
        found = self.piece(size)
        self.given += [entry for entry in found if entry[0] not in (".", "..")]
        self.ended = not found
        return found

    def rest(self, size):
        while not self.ended:
            self.read(size)

    def wrong(self, standing):
        """What was lost or given twice, of a listing that was read to its end."""
        names = [name for name, _ in self.given if name not in self.touched]
        expected = {name for name in standing if name not in self.touched}
        twice = sorted(name for name in set(names) if names.count(name) > 1)
        return twice, sorted(expected - set(names)), sorted(set(names) - expected)


class Directory:
    """A directory that changes, and all streams that read it."""

    def __init__(self, path, seed, chance):
        self.path, self.seed, self.chance = path, seed, chance
        self.standing = set(os.listdir(path))
        self.streams = [Stream(path) for _ in range(3)]
        self.next = 0

    def touch(self, name):
        for stream in self.streams:
            stream.touched.add(name)

    def change(self):
        names, deed = sorted(self.standing), self.chance.randrange(5)
        self.next += 1
        fresh = f"made-{self.seed}-{self.next}-{'y' * self.chance.randrange(60)}"
        if deed <= 1 or not names:
            os.mknod(f"{self.path}/{fresh}", 0o100644)
            self.standing.add(fresh)
            self.touch(fresh)
            return
        name = self.chance.choice(names)
        self.touch(name)
        if deed == 2:
            os.unlink(f"{self.path}/{name}")
            self.standing.discard(name)
        elif deed == 3:
            # Copied up and replaced, removed and made anew: the name stands, and is another file.
            os.unlink(f"{self.path}/{name}")
            os.mknod(f"{self.path}/{name}", 0o100644)
        else:
            to = self.chance.choice([fresh, self.chance.choice(names)])
            self.touch(to)
            os.rename(f"{self.path}/{name}", f"{self.path}/{to}")
            if name != to:
                self.standing.discard(name)
                self.standing.add(to)


def sizes(chance):
    # The longest name here takes 240 bytes.
    return chance.choice([280, 300, 1024, 32768])


def history(path, seed):
    chance = random.Random(seed)
    place = Directory(path, seed, chance)
    for step in range(STEPS):
        stream = chance.choice(place.streams)
        deed = chance.randrange(10)
        if deed < 4:
            place.change()
        elif deed < 8:
            if stream.ended:
                if any(wrong := stream.wrong(place.standing)):
                    return f"seed {seed}, step {step}: twice, lost, strange {wrong}"
                stream.start()
            stream.read(sizes(chance))
        elif deed == 8 and stream.given:
            # Back to a cookie that was given: what was given up to it is not given again, the rest is.
            at = chance.randrange(len(stream.given))
            os.lseek(stream.fd, stream.given[at][1], os.SEEK_SET)
            stream.given, stream.ended = stream.given[:at + 1], False
        else:
            stream.start()
    for stream in place.streams:
        stream.rest(300)
        if any(wrong := stream.wrong(place.standing)):
            return f"seed {seed}, at the end: twice, lost, strange {wrong}"
    for stream in place.streams:
        os.close(stream.fd)
    return "each once"


def changing():
    os.mkdir("upper")
    for n in range(NAMES):
        os.mknod(f"upper/upper-{n}", 0o100644)
        os.mknod(f"merged/upper-{n}", 0o100644)
    for path in ("merged", "lower", "large", "upper"):
        for seed in range(SEEDS):
            tell(f"{path} {seed}", history(path, seed))


def emptied():
    """What `rm -r` does: each piece is removed before the next is read, by one stream and by two."""
    for n in range(NAMES * 10):
        os.mknod(f"merged/upper-{n}", 0o100644)
    for path in ("merged", "lower", "large"):
        stream, other = Stream(path), Stream(path)
        other.read(300)
        removed = 0
        while names := [name for name, _ in stream.piece(512) if name not in (".", "..")]:
            for name in names:
                os.unlink(f"{path}/{name}")
                removed += 1
        tell(f"{path} removed", removed)
        other.rest(300)
        say(f"{path} left", lambda: os.listdir(path))
        say(f"{path} goes", lambda: os.rmdir(path))
        say(f"{path} ended", lambda: [name for name, _ in stream.piece(512)])


def cookies():
    """Every cookie, of one stream and of another: what follows it is what followed it."""
    for n in range(NAMES):
        os.mknod(f"merged/upper-{n}", 0o100644)
    for path in ("merged", "lower", "large"):
        stream = Stream(path)
        stream.rest(300)
        whole = [name for name, _ in stream.given]
        right = True
        for at in random.Random(1).sample(range(len(whole)), 40):
            os.lseek(stream.fd, stream.given[at][1], os.SEEK_SET)
            follow = [name for name, _ in stream.piece(4096) if name not in (".", "..")]
            right = right and follow == whole[at + 1:at + 1 + len(follow)]
        tell(f"{path} follows", right)
        tell(f"{path} distinct", len({cookie for _, cookie in stream.given}) == len(whole))
        say(f"{path} too small a buffer", lambda: stream.start() or stream.piece(16))
        say(f"{path} goes on after it", lambda: len(stream.piece(32768)) > 0)
        os.mknod(f"{path}/later", 0o100644)
        stream.start()
        stream.rest(700)
        tell(f"{path} rewound", sorted(name for name, _ in stream.given) == sorted([*whole, "later"]))


def by_library():
    """telldir, seekdir and rewinddir of the C library, whose buffer holds many names."""
    LIBC.opendir.restype = LIBC.readdir.restype = ctypes.c_void_p
    LIBC.telldir.restype = ctypes.c_long
    for n in range(NAMES * 20):
        os.mknod(f"merged/upper-{n}", 0o100644)
    for path in ("merged", "lower"):
        stream = ctypes.c_void_p(LIBC.opendir(path.encode()))

        def next_name():
            entry = LIBC.readdir(stream)
            return entry and ctypes.string_at(entry + 19).decode()

        def rest():
            return list(iter(next_name, None))

        places, names = [], []
        while True:
            places.append(LIBC.telldir(stream))
            name = next_name()
            if name is None:
                break
            names.append(name)
        tell(f"{path} each once", sorted(names) == sorted([".", "..", *os.listdir(path)]))
        right = True
        for at in (0, 1, 2, 17, len(names) // 2, len(names) - 1, len(names)):
            LIBC.seekdir(stream, ctypes.c_long(places[at]))
            right = right and rest() == names[at:]
        tell(f"{path} sought", right)
        os.unlink(f"{path}/{names[-1]}")
        os.mknod(f"{path}/later", 0o100644)
        LIBC.rewinddir(stream)
        tell(f"{path} rewound", sorted(rest()) == sorted([".", "..", *os.listdir(path)]))
        LIBC.closedir(stream)


run(lower, {"changing": changing, "emptied": emptied, "cookies": cookies, "by_library": by_library})
