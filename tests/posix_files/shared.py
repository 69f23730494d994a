"""Reads a file through several mounts, and says what of it is in memory where: `SCRIPT ORIGINAL MOUNTED...`. ORIGINAL is the file
that all of them show."""

import ctypes
import mmap
import os
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE
STEP = 1 << 20


def cached(name):
    """Pages of a file that are in memory."""
    fd = os.open(name, os.O_RDONLY)
    span, found = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
    failed = LIBC.syscall(451, fd, span, found, 0)
    os.close(fd)
    assert failed == 0, os.strerror(ctypes.get_errno())
    return found[0]


def resident(name):
    """The same of a mapping of it, before anything of that is touched."""
    fd, size = os.open(name, os.O_RDONLY), os.stat(name).st_size
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    at = LIBC.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    pages = (ctypes.c_ubyte * (size // PAGE))()
    assert LIBC.mincore(ctypes.c_void_p(at), ctypes.c_size_t(size), pages) == 0
    LIBC.munmap(ctypes.c_void_p(at), ctypes.c_size_t(size))
    os.close(fd)
    return sum(page & 1 for page in pages)


def in_memory_mib():
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("Cached:"))


def read(name):
    with open(name, "rb", buffering=0) as file:
        while file.read(STEP):
            pass


original, *mounted = sys.argv[1:]
pages = os.stat(original).st_size // PAGE
fd = os.open(original, os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
os.close(fd)
assert cached(original) == 0, "something of it was left in memory"
grown = []
for number, name in enumerate(mounted):
    there = resident(name)
    assert there == (pages if number else 0), f"{name}: {there} pages of {pages} before it is read"
    before = in_memory_mib()
    read(name)
    grown.append(in_memory_mib() - before)
    assert cached(original) == pages, f"{name}: {cached(original)} pages of {pages} are in memory once it is read"
    assert cached(name) == 0, f"{name}: {cached(name)} pages are in memory once more"
print(" ".join(str(mib) for mib in grown))
