"""idmapped.py SOURCE AT UIDS GIDS: an id-mapped copy of the mount of a directory; UIDS and GIDS as in /proc/PID/uid_map."""

import ctypes
import os
import struct
import sys

OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
AT_FDCWD, AT_EMPTY_PATH, CLONE, MOVE_EMPTY_FROM = -100, 0x1000, 1, 4
CLONE_NEWUSER, ATTR_IDMAP = 0x10000000, 0x00100000

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *words):
    done = libc.syscall(ctypes.c_long(number), *words)
    if done < 0:
        sys.exit("call %d: %s" % (number, os.strerror(ctypes.get_errno())))
    return done


def namespace(uids, gids):
    """A user namespace with these maps, that lives as long as the descriptor."""
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(done[1])
        os.write(ready[1], b"x" if libc.unshare(CLONE_NEWUSER) == 0 else b"")
        os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    for name, words in (("uid_map", uids), ("gid_map", gids)):
        with open("/proc/%d/%s" % (child, name), "w") as told:
            told.write(words)
    held = os.open("/proc/%d/ns/user" % child, os.O_RDONLY)
    os.close(done[1])
    os.waitpid(child, 0)
    return held


source, at, uids, gids = sys.argv[1:]
tree = call(OPEN_TREE, AT_FDCWD, source.encode(), CLONE | os.O_CLOEXEC)
attributes = struct.pack("QQQQ", ATTR_IDMAP, 0, 0, namespace(uids, gids))
call(MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, attributes, ctypes.c_size_t(len(attributes)))
call(MOVE_MOUNT, tree, b"", AT_FDCWD, at.encode(), MOVE_EMPTY_FROM)
