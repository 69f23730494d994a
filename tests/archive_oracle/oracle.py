"""Makes archives with Python's tarfile, and says what tarfile reads in an archive.

oracle.py make DIR      writes one archive per format, and prints their paths
oracle.py tree DIR      makes a tree of files for other writers to archive
oracle.py list ARCHIVE  prints one JSON object per entry
"""

import hashlib
import io
import json
import os
import sys
import tarfile
from decimal import Decimal, ROUND_FLOOR

XATTR = "SCHILY.xattr."
CAPABILITY = b"\x01\0\0\x02\x0a\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
INJECTION = b"x\n15 linkpath=x\n11 path=zzz\n"


def text(raw):
    """Bytes as tarfile holds them."""
    return raw.decode("utf-8", "surrogateescape")


def raw(string):
    return string.encode("utf-8", "surrogateescape")


def samples(form):
    """Entries that the format can hold, each with its data."""
    names = [b"plain", "grün/日本語".encode(), b"caf\xe9\xff", b"new\nline", b"d" * 100]
    names += [b"/absolute", b"./dot/./slash//x", b"p" * 90 + b"/" + b"n" * 99]
    if form != tarfile.USTAR_FORMAT:
        names += [b"/".join([b"deep" * 20] * 30), b"l" * 255, b"r" * 101]
    for i, name in enumerate(names):
        info = tarfile.TarInfo(text(name))
        info.mode = 0o4755 if i % 2 else 0o640
        info.uid, info.gid, info.mtime = i * 1000, 0o7777777 - i, 1700000000 + i
        yield info, bytes([i + 1]) * (i * 333)
    for name, kind, target in [
        (b"dir", tarfile.DIRTYPE, b""),
        (b"hard", tarfile.LNKTYPE, b"plain"),
        (b"hard-absolute", tarfile.LNKTYPE, b"/absolute"),
        (b"soft", tarfile.SYMTYPE, b"../../etc//pass\xe9wd/"),
        (b"fifo", tarfile.FIFOTYPE, b""),
        (b"char", tarfile.CHRTYPE, b""),
        (b"block", tarfile.BLKTYPE, b""),
    ]:
        info = tarfile.TarInfo(text(name))
        info.type, info.linkname, info.mode = kind, text(target), 0o1777
        if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            info.devmajor, info.devminor = 259, 70001
        yield info, b""
    if form == tarfile.USTAR_FORMAT:
        return
    long = tarfile.TarInfo("soft-long")
    long.type, long.linkname = tarfile.SYMTYPE, "t/" * 900
    yield long, b""
    long = tarfile.TarInfo("hard-" + "long" * 40)
    long.type, long.linkname = tarfile.LNKTYPE, "r" * 101
    yield long, b""
    for i, (uid, mtime) in enumerate([(2**32 - 2, -1), (2**21, -(2**40)), (2**31, 2**34)]):
        info = tarfile.TarInfo(f"big{i}")
        info.uid, info.gid, info.mtime = uid, uid - 1, mtime
        yield info, b"data"


def pax_samples():
    for i, mtime in enumerate(["1.5", "-1.5", "-0.000000001", "1700000000.123456789", "0.1"]):
        info = tarfile.TarInfo(f"time{i}")
        info.pax_headers = {"mtime": mtime}
        yield info, b""
    info = tarfile.TarInfo("attributes")
    info.pax_headers = {
        XATTR + "security.capability": text(CAPABILITY),
        XATTR + "user.injection": text(INJECTION),
        XATTR + "user.bytes": text(bytes(range(256))),
        XATTR + "trusted.overlay.opaque": "y",
        "LIBARCHIVE.creationtime": "1",
        "comment": "c\n12 size=999\n",
    }
    yield info, b"attributed"
    info = tarfile.TarInfo("soft-injected")
    info.type, info.linkname = tarfile.SYMTYPE, "right"
    info.pax_headers = {XATTR + "user.injection": text(INJECTION)}
    yield info, b""


def make(directory):
    for label, form in [
        ("ustar", tarfile.USTAR_FORMAT),
        ("gnu", tarfile.GNU_FORMAT),
        ("pax", tarfile.PAX_FORMAT),
    ]:
        path = os.path.join(directory, f"python-{label}.tar")
        globals_ = {"comment": "all", XATTR + "user.global": "g"} if label == "pax" else None
        options = {"encoding": "utf-8", "errors": "surrogateescape", "pax_headers": globals_}
        with tarfile.open(path, "w", format=form, **options) as archive:
            entries = list(samples(form)) + (list(pax_samples()) if label == "pax" else [])
            for info, data in entries:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        print(path)


def segments(path, count, step, size):
    with open(path, "wb") as file:
        for i in range(count):
            file.seek(i * step + 512 * (i % 3))
            file.write(bytes([i % 255 + 1]) * (512 * (1 + i % 5) + i % 2))
        file.truncate(size)


def tree(directory):
    """Sparse files with enough segments for one header, one continuation block and several, beside common files."""
    for count in [0, 1, 3, 4, 5, 24, 25, 26, 60, 300]:
        segments(os.path.join(directory, f"sparse{count}"), count, 8192, count * 8192 + 100000)
    segments(os.path.join(directory, "s" * 180), 7, 65536, 1 << 20)
    segments(os.path.join(directory, "tail"), 9, 8192, 8 * 8192 + 5 * 512)
    sub = os.path.join(raw(directory), b"sub")
    os.mkdir(sub)
    for name in ["日本語".encode(), b"caf\xe9", b"new\nline", b"n" * 255]:
        with open(os.path.join(sub, name), "wb") as file:
            file.write(name * 100)
        os.utime(os.path.join(sub, name), ns=(0, -1_500_000_001))
    os.link(os.path.join(sub, b"caf\xe9"), os.path.join(sub, b"hard"))
    os.symlink(b"../" + b"x" * 200 + b"/caf\xe9", os.path.join(sub, b"soft"))
    os.mkfifo(os.path.join(sub, b"fifo"))
    try:
        os.setxattr(os.path.join(sub, b"caf\xe9"), b"user.injection", INJECTION)
        os.setxattr(os.path.join(sub, b"caf\xe9"), b"user.empty", b"")
    except OSError as error:
        print(f"no xattrs here: {error}", file=sys.stderr)


def components(name):
    return b"/".join(part for part in raw(name).split(b"/") if part not in (b"", b".")).hex()


def name(info):
    """The one difference that is ours by right: when a sparse file's real name does not fit a header, GNU tar writes a
    made-up one both there and in a `path` record, which tarfile takes over `GNU.sparse.name`. GNU tar itself restores
    the real name."""
    return components(info.pax_headers.get("GNU.sparse.name", info.name))


def moment(info):
    """Nanoseconds, from the record's own digits: tarfile keeps a float."""
    value = Decimal(info.pax_headers.get("mtime", str(int(info.mtime))))
    return str((value * 10**9).to_integral_value(ROUND_FLOOR))


def kind(info):
    if info.isreg():
        return "file"
    if info.isdir():
        return "directory"
    return {
        tarfile.LNKTYPE: "hardlink",
        tarfile.SYMTYPE: "symlink",
        tarfile.CHRTYPE: "char",
        tarfile.BLKTYPE: "block",
        tarfile.FIFOTYPE: "fifo",
    }[info.type]


def digest(archive, info):
    summed = hashlib.sha256()
    file = archive.extractfile(info)
    while piece := file.read(1 << 20):
        summed.update(piece)
    return summed.hexdigest()


def show(path):
    with tarfile.open(path, encoding="utf-8", errors="surrogateescape") as archive:
        for info in archive:
            what = kind(info)
            target = ""
            if what == "hardlink":
                target = components(info.linkname)
            elif what == "symlink":
                target = raw(info.linkname).hex()
            device = what in ("char", "block")
            xattrs = {
                raw(key[len(XATTR):]).hex(): raw(value).hex()
                for key, value in info.pax_headers.items()
                if key.startswith(XATTR)
            }
            entry = {
                "path": name(info),
                "kind": what,
                "target": target,
                "device": [info.devmajor, info.devminor] if device else [],
                "size": info.size if what == "file" else 0,
                "mode": info.mode & 0o7777,
                "uid": info.uid,
                "gid": info.gid,
                "mtime_ns": moment(info),
                "xattrs": xattrs,
                "sha256": digest(archive, info) if what == "file" else "",
            }
            print(json.dumps(entry))


if __name__ == "__main__":
    {"make": make, "tree": tree, "list": show}[sys.argv[1]](sys.argv[2])
