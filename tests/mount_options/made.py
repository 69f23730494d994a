"""Makes one of each kind in directories of each kind, as each kind of caller, and prints what it got.

made.py prepare LOWER   makes the directories below a lower directory
made.py make MOUNT      makes the same ones in the upper, then fills all
"""

import itertools
import os
import stat
import struct
import sys

UMASKS = (0o000, 0o022, 0o077)
CALLERS = ((0, 0), (1000, 1000), (1000, 7))
GROUP = 7
SET_GROUP = ("plain", "setgid")
USER_OBJ, USER, GROUP_OBJ, GROUP_ID, MASK, OTHER = 1, 2, 4, 8, 16, 32


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, perm, who) for tag, perm, who in entries)


NO_ONE = 0xFFFFFFFF
LISTS = {
    "none": None,
    "minimal": acl((USER_OBJ, 7, NO_ONE), (GROUP_OBJ, 5, NO_ONE), (OTHER, 1, NO_ONE)),
    "tight": acl((USER_OBJ, 6, NO_ONE), (GROUP_OBJ, 0, NO_ONE), (OTHER, 0, NO_ONE)),
    "named": acl((USER_OBJ, 7, NO_ONE), (USER, 7, 1234), (GROUP_OBJ, 5, NO_ONE), (GROUP_ID, 6, 55),
                 (MASK, 7, NO_ONE), (OTHER, 5, NO_ONE)),
    "masked": acl((USER_OBJ, 7, NO_ONE), (USER, 7, 1234), (GROUP_OBJ, 7, NO_ONE), (MASK, 4, NO_ONE),
                  (OTHER, 7, NO_ONE)),
}
KINDS = ("file", "tight-file", "setid-file", "mknod", "dir", "sticky-dir", "fifo", "symlink", "covering", "covering-dir")


def directories(root, where):
    for group, name in itertools.product(SET_GROUP, LISTS):
        path = f"{root}/{where}-{group}-{name}"
        os.mkdir(path)
        os.chown(path, 0, GROUP)
        if LISTS[name]:
            os.setxattr(path, "system.posix_acl_default", LISTS[name])
        os.chmod(path, 0o2777 if group == "setgid" else 0o777)
        for umask, caller in itertools.product(UMASKS, range(len(CALLERS))):
            for kind in ("covering", "covering-dir"):
                open(f"{path}/{kind}-{umask:o}-{caller}", "w").close()


def make(path, kind):
    if kind == "file":
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    elif kind == "tight-file":
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))
    elif kind == "setid-file":
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o6775))
    elif kind == "mknod":
        os.mknod(path, stat.S_IFREG | 0o2777)
    elif kind == "dir":
        os.mkdir(path, 0o777)
    elif kind == "sticky-dir":
        os.mkdir(path, 0o1750)
    elif kind == "fifo":
        os.mkfifo(path, 0o666)
    elif kind == "symlink":
        os.symlink("target", path)
    elif kind == "covering":
        os.unlink(path)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    else:
        os.unlink(path)
        os.mkdir(path, 0o777)


def attribute(path, name):
    try:
        return os.getxattr(path, name, follow_symlinks=False).hex()
    except OSError as error:
        return os.strerror(error.errno)


def told(path):
    meta = os.lstat(path)
    lists = [attribute(path, f"system.posix_acl_{which}") for which in ("access", "default")]
    return f"{meta.st_mode:o} {meta.st_uid}:{meta.st_gid} {lists[0]} {lists[1]}"


def as_caller(caller, deed):
    os.setgroups([])
    os.setegid(caller[1])
    os.seteuid(caller[0])
    try:
        deed()
        return ""
    except OSError as error:
        return os.strerror(error.errno)
    finally:
        os.seteuid(0)
        os.setegid(0)


def fill(root):
    directories(root, "upper")
    table = itertools.product(("lower", "upper"), SET_GROUP, LISTS, KINDS, UMASKS, range(len(CALLERS)))
    for where, group, name, kind, umask, caller in table:
        path = f"{root}/{where}-{group}-{name}/{kind}-{umask:o}-{caller}"
        os.umask(umask)
        failed = as_caller(CALLERS[caller], lambda: make(path, kind))
        print(path.removeprefix(root), failed or told(path))
    for where, group, name in itertools.product(("lower", "upper"), SET_GROUP, LISTS):
        path = f"{root}/{where}-{group}-{name}"
        print(path.removeprefix(root), told(path))


os.umask(0)
if sys.argv[1] == "prepare":
    directories(sys.argv[2], "lower")
else:
    fill(sys.argv[2])
