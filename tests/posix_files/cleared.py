"""Which calls take set-id bits, the sticky bit and capabilities away, by whom, and whether everybody sees so at once."""

import mmap
import os
import struct
import sys

from calls import LIBC, answer_of, call, fallocate, run, tell

FILE_UID, FILE_GID, OTHER_GID = 1000, 1000, 2000
CAP_FSETID = 4
ORIGINS = ("lower", "copied", "new")
# Whoever else asks, what was copied up is what was made here.
OF_COPIES = ("root", "owner", "writer")
# A capability that a program of the file gets: the revision without a user namespace.
CAPABLE = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
# Permissions, and whether the file has a capability.
MODES = ((0o4755, 0), (0o2755, 0), (0o2644, 0), (0o1755, 0), (0o755, 1), (0o6755, 1))
DIR_MODES = (0o6755, 0o2744, 0o1777, 0o3775)
# Which of them make a file of each origin: all where everything is to run.
OF_ORIGIN = {"lower": (5,), "copied": (5,), "new": (2, 4, 5)}
IS_SOAK = os.environ.get("LAYERFS_SOAK") == "1"
# Who: user, groups (the first is the process's own), the file's group, permissions that the file has besides, and
# capabilities that the process lacks of root's or has beyond a user's.
WHO = {
    "root": (0, (0,), FILE_GID, 0, ()),
    "weak-root": (0, (0,), FILE_GID, 0, (CAP_FSETID,)),
    "owner": (FILE_UID, (FILE_GID,), FILE_GID, 0, ()),
    "member": (FILE_UID, (FILE_GID, OTHER_GID), OTHER_GID, 0, ()),
    "stranger": (FILE_UID, (FILE_GID,), OTHER_GID, 0, ()),
    "writer": (3000, (3000,), FILE_GID, 0o022, ()),
    "group-writer": (3000, (3000, FILE_GID), FILE_GID, 0o020, ()),
    "strong-owner": (FILE_UID, (FILE_GID,), OTHER_GID, 0, (CAP_FSETID,)),
}


# Who may keep the bits, and what keeps them: a capability besides goes alone, which is told apart.
KEEPERS = ("root", "strong-owner")
WRITES = ("write", "pwrite beyond", "append", "write direct", "write synced", "allocate", "punch", "copy_file_range", "sendfile",
          "splice")


def is_apart(who, word, mode):
    """Nor is a file where a stranger asks for nothing but is refused: its capability is gone by then."""
    if not mode[1]:
        return False
    is_set_id = bool(mode[0] & 0o6000)
    return word == "store" or is_set_id and (who in KEEPERS and word in WRITES or
                                             who in ("writer", "group-writer") and word in ("chown to none", "fchown"))


def modes(who, origin, word):
    """The modes of the files of a deed, with their places in the table."""
    return [(which, mode) for which, mode in enumerate(MODES)
            if (IS_SOAK or which in OF_ORIGIN[origin]) and not is_apart(who, word, mode)]


def origins(who):
    return [origin for origin in ORIGINS if origin != "copied" or who in OF_COPIES]


def list_of(mode):
    """An access control list of one more user, with the mode's classes."""
    no_one = 0xFFFFFFFF
    rows = ((1, mode >> 6 & 7, no_one), (2, 4, 1234), (4, mode >> 3 & 7, no_one), (16, 7, no_one), (32, mode & 7, no_one))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)


def opened(name, flags, deed):
    fd = os.open(name, flags)
    try:
        return deed(fd)
    finally:
        os.close(fd)


def stored(fd):
    with mmap.mmap(fd, 100, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as mapping:
        mapping[0:4] = b"MMAP"
        mapping.flush()


def direct(fd):
    return os.pwritev(fd, [mmap.mmap(-1, 4096)], 0)


def copied_into(fd):
    return opened("source", os.O_RDONLY, lambda source: os.copy_file_range(source, fd, 50, 0, 10))


def sent_into(fd):
    return opened("source", os.O_RDONLY, lambda source: os.sendfile(fd, source, 0, 50))


def spliced_into(fd):
    ours, theirs = os.pipe()
    os.write(theirs, b"spliced")
    os.close(theirs)
    try:
        return os.splice(ours, fd, 7)
    finally:
        os.close(ours)


WRITE, BOTH = os.O_WRONLY, os.O_RDWR
DEEDS = {
    "write": lambda name: opened(name, WRITE, lambda fd: os.write(fd, b"written")),
    "write nothing": lambda name: opened(name, WRITE, lambda fd: os.write(fd, b"")),
    "pwrite beyond": lambda name: opened(name, WRITE, lambda fd: os.pwrite(fd, b"beyond", 5000)),
    "append": lambda name: opened(name, WRITE | os.O_APPEND, lambda fd: os.write(fd, b"appended")),
    "write direct": lambda name: opened(name, WRITE | os.O_DIRECT, direct),
    "write synced": lambda name: opened(name, WRITE | os.O_SYNC, lambda fd: os.write(fd, b"synced")),
    "store": lambda name: opened(name, BOTH, stored),
    "ftruncate": lambda name: opened(name, WRITE, lambda fd: os.ftruncate(fd, 10)),
    "ftruncate to its size": lambda name: opened(name, WRITE, lambda fd: os.ftruncate(fd, 100)),
    "truncate": lambda name: os.truncate(name, 10),
    "truncate to nothing": lambda name: os.truncate(name, 0),
    "empty": lambda name: os.close(os.open(name, WRITE | os.O_TRUNC)),
    "empty and read": lambda name: os.close(os.open(name, os.O_RDONLY | os.O_TRUNC)),
    "open": lambda name: os.close(os.open(name, BOTH)),
    "allocate": lambda name: opened(name, WRITE, lambda fd: fallocate(fd, 0, 0, 6000)),
    "punch": lambda name: opened(name, WRITE, lambda fd: fallocate(fd, 3, 0, 50)),
    "copy_file_range": lambda name: opened(name, WRITE, copied_into),
    "sendfile": lambda name: opened(name, WRITE, sent_into),
    "splice": lambda name: opened(name, WRITE, spliced_into),
    "chown to the same": lambda name: os.chown(name, os.stat(name).st_uid, os.stat(name).st_gid),
    "chown to none": lambda name: os.chown(name, -1, -1),
    "chown user": lambda name: os.chown(name, 1234, -1),
    "chown group": lambda name: os.chown(name, -1, OTHER_GID),
    "chown own group": lambda name: os.chown(name, -1, FILE_GID),
    "fchown": lambda name: opened(name, os.O_RDONLY, lambda fd: os.fchown(fd, -1, -1)),
    "chmod all": lambda name: os.chmod(name, 0o7777),
    "chmod as it is": lambda name: os.chmod(name, os.stat(name).st_mode & 0o7777),
    "chmod without x": lambda name: os.chmod(name, 0o2666),
    "fchmod": lambda name: opened(name, os.O_RDONLY, lambda fd: os.fchmod(fd, 0o6711)),
    "access list": lambda name: os.setxattr(name, "system.posix_acl_access", list_of(os.stat(name).st_mode)),
    "attribute": lambda name: os.setxattr(name, "user.word", b"value"),
    "capability": lambda name: os.setxattr(name, "security.capability", CAPABLE),
    "no capability": lambda name: os.removexattr(name, "security.capability"),
    "link": lambda name: os.link(name, f"{name}-link"),
    "rename": lambda name: (os.rename(name, f"{name}-moved"), os.rename(f"{name}-moved", name)) and None,
    "utime": lambda name: os.utime(name),
    "utime to": lambda name: os.utime(name, ns=(5, 5)),
}
DIR_DEEDS = {word: DEEDS[word] for word in (
    "chown to the same", "chown to none", "chown user", "chown group", "chmod all", "chmod as it is", "chmod without x",
    "access list", "attribute", "rename", "utime")} | {
    "default list": lambda name: os.setxattr(name, "system.posix_acl_default", list_of(os.stat(name).st_mode)),
    "make in it": lambda name: os.close(os.open(f"{name}/file", os.O_CREAT | os.O_WRONLY, 0o6777)),
    "make directory in it": lambda name: os.mkdir(f"{name}/dir", 0o7777),
}


def files(who, origin):
    """The place of each file, what is done to it, and what it is before."""
    for number, word in enumerate(DEEDS):
        for which, mode in modes(who, origin, word):
            yield f"{who}/{origin}-{number}-{which}", word, mode


def directories(who, origin):
    for number, word in enumerate(DIR_DEEDS):
        for which, mode in enumerate(DIR_MODES if IS_SOAK else DIR_MODES[:2]):
            yield f"{who}/{origin}-dir-{number}-{which}", word, mode


def made(who, origin):
    gid, more = WHO[who][2:4]
    for name, _, (mode, is_capable) in files(who, origin):
        with open(name, "wb") as file:
            file.write(b"x" * 100)
        os.chown(name, FILE_UID, gid)
        os.chmod(name, mode | more)
        if is_capable:
            os.setxattr(name, "security.capability", CAPABLE)
    for name, _, mode in directories(who, origin):
        os.mkdir(name)
        os.chown(name, FILE_UID, gid)
        os.chmod(name, mode | more)


def lower():
    for word, mode in APART:
        capable(f"{word}-lower", mode)
    # Whoever makes the mountpoint of this directory lets everybody in.
    os.chmod(".", 0o777)
    with open("source", "wb") as file:
        file.write(b"source" * 100)
    for who in WHO:
        os.mkdir(who)
        os.chmod(who, 0o777)
        for origin in origins(who)[:-1]:
            made(who, origin)


def capable(name, mode):
    with open(name, "wb") as file:
        file.write(b"x" * 100)
    os.chmod(name, mode)
    os.setxattr(name, "security.capability", CAPABLE)


APART = (("write", 0o6755), ("store", 0o755), ("fchown", 0o6755))


def apart():
    """What a mount can't tell: a write from a change of owner, a store from a write, a removal from that of a capability that
    goes with set-id bits."""
    for word, mode in APART:
        capable(f"{word}-new", mode)
        for origin in ("lower", "new"):
            def deed():
                if word == "fchown":
                    os.seteuid(3000)
                try:
                    return DEEDS[word](f"{word}-{origin}")
                finally:
                    os.seteuid(0)
            answer = answer_of(deed)
            print(f"{word} {origin}: {answer} {seen(f'{word}-{origin}')}")


def become(who):
    uid, groups, _, _, capabilities = WHO[who]
    os.umask(0)
    os.setgroups(groups)
    os.setresgid(*groups[:1] * 3)
    if uid:
        call("prctl", 8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
        os.setresuid(uid, uid, uid)
    bits = sum(1 << number for number in capabilities)
    with open("/proc/self/status", encoding="utf-8") as status:
        permitted = next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm"))
    mask = bits if uid else permitted & ~bits
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("<Ii", 0x20080522, 0)
    data = struct.pack("<IIIIII", low, low, 0, high, high, 0)
    if LIBC.capset(header, data):
        raise OSError("capset")


def seen(name):
    """Mode, owner and capability: what a call shows that asks now."""
    stat = os.lstat(name)
    try:
        capability = len(os.getxattr(name, "security.capability"))
    except OSError:
        capability = 0
    return f"{stat.st_mode & 0o7777:o}/{stat.st_uid}:{stat.st_gid}/{stat.st_size}/{capability}"


def seen_dir(name):
    stat = os.lstat(name)
    inside = sorted(f"{entry}={os.lstat(f'{name}/{entry}').st_mode & 0o7777:o}" for entry in os.listdir(name))
    return f"{stat.st_mode & 0o7777:o}/{stat.st_uid}:{stat.st_gid} {inside}"


def table(label, rows, deeds, look):
    """One line for each deed: for each mode what the call answered, and what it left. Who asks has looked before."""
    done = {}
    for name, word, _ in rows:
        os.lstat(name)
        answer = answer_of(lambda name=name, word=word: deeds[word](name))
        done.setdefault(word, []).append(f"{answer} {look(name)}")
    for word, results in done.items():
        tell(f"{label} {word}", results)


def as_who(who, deed):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            become(who)
            deed()
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if status:
        raise ChildProcessError(who, status)


def copy_up(who):
    for name, _, _ in [*files(who, "copied"), *directories(who, "copied")]:
        os.utime(name, ns=(7, 7))


def cleared():
    for who in WHO:
        made(who, "new")
        for origin in origins(who):
            if origin == "copied":
                copy_up(who)
            as_who(who, lambda who=who, origin=origin: both(who, origin))
    kept()


def both(who, origin):
    table(f"{who} {origin} file", files(who, origin), DEEDS, seen)
    table(f"{who} {origin} directory", directories(who, origin), DIR_DEEDS, seen_dir)


def kept():
    """What each object is now, to whoever looks: root, another process, the next mount."""
    for who in WHO:
        for origin in origins(who):
            for rows, look in ((files, seen), (directories, seen_dir)):
                done = {}
                for name, word, _ in rows(who, origin):
                    done.setdefault(word, []).append(look(name))
                for word, results in done.items():
                    tell(f"{who} {origin} {word} kept", results)


run(lower, {"cleared": cleared, "kept": kept, "apart": apart})
