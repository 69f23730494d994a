"""Calls that a file system may have or not: flags of inodes, extents, clones, moments of birth."""

import ctypes
import fcntl
import os
import struct

from calls import AT_FDCWD, call, run, say, write_file

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR = 0x80086601, 0x40086602, 0x801C581F
FS_IOC_FIEMAP, FICLONE = 0xC020660B, 0x40049409
FS_NODUMP_FL, STATX_BTIME = 0x40, 0x800


def lower():
    write_file("lower", b"text" * 2000)


def ioctl(fd, number, data):
    return len(fcntl.ioctl(fd, number, data))


def has_birth(path):
    answer = ctypes.create_string_buffer(256)
    call("statx", AT_FDCWD, path, 0, STATX_BTIME, answer)
    return bool(struct.unpack_from("I", answer)[0] & STATX_BTIME)


def beyond():
    write_file("upper", b"text" * 2000)
    for name in ("lower", "upper"):
        fd = os.open(name, os.O_RDWR)
        clone = os.open(f"{name}-clone", os.O_RDWR | os.O_CREAT)
        say(f"{name} flags", lambda: ioctl(fd, FS_IOC_GETFLAGS, bytes(8)))
        say(f"{name} set flags", lambda: ioctl(fd, FS_IOC_SETFLAGS, struct.pack("q", FS_NODUMP_FL)))
        say(f"{name} project", lambda: ioctl(fd, FS_IOC_FSGETXATTR, bytes(28)))
        say(f"{name} extents", lambda: ioctl(fd, FS_IOC_FIEMAP, struct.pack("QQIIII", 0, 1 << 20, 0, 0, 0, 0)))
        say(f"{name} clone", lambda: fcntl.ioctl(clone, FICLONE, fd))
        say(f"{name} birth", lambda: has_birth(name))
        os.close(clone)
        os.close(fd)


run(lower, {"beyond": beyond})
