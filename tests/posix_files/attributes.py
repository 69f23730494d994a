"""Extended attributes of every name, size and kind, on objects of every type, asked and changed in every way."""

import ctypes
import hashlib
import os
import stat
import struct

import tarball
from calls import answer_of, call, run, say, tell, write_file

KINDS = ("file", "dir", "link", "fifo", "device")
# A lower one, one that is copied up by a change of its times, one that only the upper has.
ORIGINS = ("lower", "copied", "new")
LARGE = 64 * 1024
NO_ONE = 0xFFFFFFFF
LIST = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in (
    (1, 6, NO_ONE), (2, 4, 1234), (4, 4, NO_ONE), (16, 4, NO_ONE), (32, 0, NO_ONE)))
CAPABILITIES = {
    "1": struct.pack("<III", 0x01000001, 1 << 10, 0),
    "2": struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0),
    "3": struct.pack("<IIIIII", 0x03000001, 1 << 10, 0, 0, 0, 0),
    "3 of others": struct.pack("<IIIIII", 0x03000001, 1 << 10, 0, 0, 0, 100_000),
    "4": struct.pack("<IIIIII", 0x04000001, 1 << 10, 0, 0, 0, 0),
    "cut": struct.pack("<III", 0x02000001, 1 << 10, 0),
}


def made(name, kind):
    if kind == "file":
        write_file(name, b"contents")
    elif kind == "dir":
        os.mkdir(name)
    elif kind == "link":
        os.symlink("target", name)
    elif kind == "fifo":
        os.mkfifo(name)
    else:
        os.mknod(name, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def put(name, attribute, value, flags=0):
    os.setxattr(name, attribute, value, flags, follow_symlinks=False)


def got(name, attribute):
    """What it holds, told shortly where it is long."""
    value = os.getxattr(name, attribute, follow_symlinks=False)
    return value if len(value) < 80 else (len(value), hashlib.sha256(value).hexdigest()[:16])


def listed(name):
    return sorted(os.listxattr(name, follow_symlinks=False))


def raw(name, attribute, size):
    """What the call says into so many bytes: a length, or a refusal."""
    buffer = ctypes.create_string_buffer(max(size, 1))
    return call("lgetxattr", name, attribute, buffer, ctypes.c_size_t(size))


def raw_list(name, size):
    buffer = ctypes.create_string_buffer(max(size, 1))
    return call("llistxattr", name, buffer, ctypes.c_size_t(size))


def value_of(size):
    return (hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1))[:size]


def lower():
    os.chmod(".", 0o777)
    for kind in KINDS:
        for origin in ORIGINS[:2]:
            made(f"{kind}-{origin}", kind)
    for origin in ORIGINS[:2]:
        for word in ("sizes", "many", "full"):
            write_file(f"{word}-{origin}", b"contents")
        for attribute in ("trusted.t", "security.s", "user.u"):
            put(f"file-{origin}", attribute, b"of the lower")
        put(f"link-{origin}", "trusted.t", b"of a link")
        put(f"dir-{origin}", "user.u", b"of a directory")
        put(f"dir-{origin}", "system.posix_acl_default", LIST)
        put(f"file-{origin}", "system.posix_acl_access", LIST)
        put(f"file-{origin}", "security.capability", CAPABILITIES["3 of others"])
        put(f"file-{origin}", "user.empty", b"")


def prepared(word, kind="file"):
    """The three of a kind, made ready."""
    made(f"{word}-new", kind)
    os.utime(f"{word}-copied", ns=(7, 7), follow_symlinks=False)
    return [f"{word}-{origin}" for origin in ORIGINS]


NAMES = ("user.u", "user.empty", "user.absent", "user." + "n" * 250, "user." + "n" * 251, "user.", "user", "none.such", "",
         "trusted.t", "trusted.", "security.s", "security.selinux", "security.ima", "system.posix_acl_access",
         "system.posix_acl_default", "system.other", "btrfs.compression", "user.overlay.opaque", "user.\udcff\udc81")


def names():
    for kind in KINDS:
        for name in prepared(kind, kind):
            say(f"{name} listed", lambda name=name: listed(name))
            for attribute in NAMES:
                label = f"{name} {attribute!r}"
                value = LIST if "posix_acl" in attribute else b"value"
                say(f"{label} get", lambda: got(name, attribute))
                say(f"{label} replace", lambda: put(name, attribute, value, os.XATTR_REPLACE))
                say(f"{label} create", lambda: put(name, attribute, value, os.XATTR_CREATE))
                say(f"{label} create again", lambda: put(name, attribute, value, os.XATTR_CREATE))
                say(f"{label} both", lambda: put(name, attribute, value, os.XATTR_CREATE | os.XATTR_REPLACE))
                say(f"{label} get now", lambda: got(name, attribute))
                say(f"{label} mode", lambda: oct(os.lstat(name).st_mode))
                say(f"{label} empty", lambda: put(name, attribute, b""))
                say(f"{label} get empty", lambda: got(name, attribute))
                say(f"{label} damaged", lambda: put(name, attribute, b"\x07damaged") if "posix" in attribute else None)
                say(f"{label} remove", lambda: os.removexattr(name, attribute, follow_symlinks=False))
                say(f"{label} remove again", lambda: os.removexattr(name, attribute, follow_symlinks=False))
            say(f"{name} listed at last", lambda: listed(name))
    capabilities()


def capabilities():
    for name in (f"file-{origin}" for origin in ORIGINS):
        say(f"{name} capability", lambda: got(name, "security.capability"))
        for word, value in CAPABILITIES.items():
            say(f"{name} revision {word}", lambda: put(name, "security.capability", value))
            say(f"{name} revision {word} got", lambda: got(name, "security.capability"))
    for kind in KINDS[1:]:
        say(f"{kind} capability", lambda: put(f"{kind}-new", "security.capability", CAPABILITIES["2"]))


def sizes():
    """Values and lists of each size, into buffers of each size."""
    for name in prepared("sizes"):
        for size in (0, 1, 255, 256, 257, 1000, 2000):
            say(f"{name} set {size}", lambda: put(name, "user.sized", value_of(size)))
            say(f"{name} get {size}", lambda: got(name, "user.sized"))
            for room in sorted({0, 1, max(size - 1, 0), size, size + 1, LARGE, LARGE + 1}):
                say(f"{name} {size} into {room}", lambda: raw(name, "user.sized", room))
        # What is one byte more than the kernel takes is refused before anyone is asked.
        say(f"{name} too large", lambda: put(name, "user.sized", bytes(LARGE + 1)))
        say(f"{name} as it was", lambda: got(name, "user.sized"))
        os.setxattr(name, "user.other", b"other")
        for room in (0, 1, 10, 11, 21, 22, 23, LARGE, LARGE + 1):
            say(f"{name} list into {room}", lambda: raw_list(name, room))
        say(f"{name} by a descriptor", lambda: by_descriptor(name))


def by_descriptor(name):
    fd = os.open(name, os.O_RDONLY)
    try:
        os.setxattr(fd, "user.by", b"descriptor")
        return os.getxattr(fd, "user.by"), sorted(os.listxattr(fd)), os.removexattr(fd, "user.by")
    finally:
        os.close(fd)


def large():
    """Where the disk has room for them."""
    for name in prepared("sizes"):
        for size in (4000, 5000, 20_000, LARGE - 1, LARGE):
            say(f"{name} set {size}", lambda: put(name, "user.sized", value_of(size)))
            say(f"{name} get {size}", lambda: got(name, "user.sized"))
            for room in (0, size - 1, size, LARGE):
                say(f"{name} {size} into {room}", lambda: raw(name, "user.sized", room))
    for name in prepared("many"):
        tell(f"{name} many", [answer_of(lambda: put(name, f"user.{n:03}", value_of(n))) for n in range(200)].count("None"))
        say(f"{name} all", lambda: all(os.getxattr(name, f"user.{n:03}") == value_of(n) for n in range(200)))
        say(f"{name} list", lambda: (len(listed(name)), raw_list(name, 0), raw_list(name, 200 * 9)))
        say(f"{name} list into less", lambda: raw_list(name, 200 * 9 - 1))


def full():
    """A disk that keeps attributes of one file in one block: what does not fit is refused, and what was there is there."""
    for name in prepared("full"):
        say(f"{name} set", lambda: put(name, "user.kept", value_of(1000)))
        for size in (5000, 20_000, LARGE):
            say(f"{name} set {size}", lambda: put(name, "user.much", value_of(size)))
            say(f"{name} replace by {size}", lambda: put(name, "user.kept", value_of(size)))
        say(f"{name} kept", lambda: got(name, "user.kept"))
        added = [answer_of(lambda: put(name, f"user.{n:03}", value_of(50))) for n in range(100)]
        tell(f"{name} added until", added[-1])
        tell(f"{name} listed", len(listed(name)) == added.count("None") + 1)
        say(f"{name} kept at last", lambda: got(name, "user.kept"))


def users():
    """Who is not root."""
    for kind in KINDS:
        for name in prepared(kind, kind):
            os.chown(name, 1000, 1000, follow_symlinks=False)
            for who in (1000, 3000):
                for attribute in ("user.u", "user.mine", "trusted.t", "trusted.mine", "security.s", "security.capability",
                                  "system.posix_acl_access"):
                    label, value = f"{name} {who} {attribute}", LIST if "posix" in attribute else CAPABILITIES["2"]
                    os.seteuid(who)
                    say(f"{label} get", lambda: got(name, attribute))
                    say(f"{label} set", lambda: put(name, attribute, value))
                    say(f"{label} remove", lambda: os.removexattr(name, attribute, follow_symlinks=False))
                    os.seteuid(0)
                os.seteuid(who)
                say(f"{name} {who} listed", lambda: listed(name))
                os.seteuid(0)
    os.chmod("dir-new", 0o1777)
    os.seteuid(3000)
    say("sticky directory", lambda: put("dir-new", "user.mine", b"value"))
    os.seteuid(0)


def of_layers():
    """Names and values of the entries of an archive."""
    yield "longest value", {"user.v": value_of(LARGE)}
    yield "long value", {"security.v": value_of(LARGE - 1), "user.none": b""}
    yield "longest name", {"user." + "n" * 250: b"value"}
    yield "many", {f"user.{n:04}": value_of(100) for n in range(2000)}
    yield "trusted", {"trusted.t": value_of(5000), "security.capability": CAPABILITIES["2"]}


def archive():
    """Writes it."""
    entries = []
    for name, attributes in of_layers():
        attributes = {os.fsencode(attribute): value for attribute, value in attributes.items()}
        entries.append(tarball.regular(os.fsencode(name), b"text", xattrs=attributes))
    with open("root.tar", "wb") as file:
        file.write(tarball.tarball(entries))


def digest_of(attributes):
    digest = hashlib.sha256()
    for attribute, value in sorted(attributes.items()):
        digest.update(f"{attribute} {len(value)} ".encode() + value)
    return len(attributes), digest.hexdigest()


def packed():
    """What its entries have."""
    for name, attributes in of_layers():
        tell(name, digest_of(attributes))


def shown():
    for name, _ in of_layers():
        tell(name, digest_of({attribute: os.getxattr(name, attribute) for attribute in os.listxattr(name)}))


run(lower, {case.__name__: case for case in (names, sizes, large, full, users, archive, packed, shown)})
