"""A tar writer whose every byte is decided here: the same entries give the same archive on every machine.

Python's own writer marks binary extended attributes with `hdrcharset`, which no container tool does, and its layout has
changed between versions; so headers are framed here, as POSIX.1-2001 says.
"""

BLOCK = 512


def _octal(value, width):
    return b"%0*o\0" % (width - 1, value)


def _header(name, size, flag, entry):
    major, minor = entry.get("device", (0, 0))
    fields = [
        name[:100].ljust(100, b"\0"),
        _octal(entry.get("mode", 0o644), 8),
        _octal(entry.get("uid", 0), 8),
        _octal(entry.get("gid", 0), 8),
        _octal(size, 12),
        _octal(entry.get("mtime", 1_600_000_000), 12),
        b" " * 8,
        flag,
        entry.get("link", b"")[:100].ljust(100, b"\0"),
        b"ustar\x0000",
        b"root".ljust(32, b"\0"),
        b"root".ljust(32, b"\0"),
        _octal(major, 8),
        _octal(minor, 8),
    ]
    block = b"".join(fields).ljust(BLOCK, b"\0")
    total = sum(block)
    return block[:148] + b"%06o\0 " % total + block[156:]


def _padded(data):
    return data + b"\0" * (-len(data) % BLOCK)


def pax_record(key, value):
    """One length-prefixed record; the length counts its own digits."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return str(length).encode() + body


def _pax(entry):
    records = []
    if len(entry["name"]) > 100:
        records.append((b"path", entry["name"]))
    if len(entry.get("link", b"")) > 100:
        records.append((b"linkpath", entry["link"]))
    for key, value in sorted(entry.get("xattrs", {}).items()):
        records.append((b"SCHILY.xattr." + key, value))
    if "mtime_ns" in entry:
        records.append((b"mtime", b"%d.%09d" % (entry.get("mtime", 1_600_000_000), entry["mtime_ns"])))
    return b"".join(pax_record(k, v) for k, v in records)


FLAGS = {"file": b"0", "hard": b"1", "symlink": b"2", "char": b"3", "block": b"4", "dir": b"5", "fifo": b"6"}


def tarball(entries):
    """The archive of `entries`: dicts with `name` and `type`, and what differs from the defaults."""
    out = []
    for entry in entries:
        data = entry.get("data", b"")
        pax = _pax(entry)
        if pax:
            out.append(_header(b"PaxHeaders.0/" + entry["name"][:80], len(pax), b"x", {}) + _padded(pax))
        out.append(_header(entry["name"], len(data), FLAGS[entry["type"]], entry) + _padded(data))
    return b"".join(out) + b"\0" * (2 * BLOCK)


def directory(name, **more):
    return {"name": name + b"/", "type": "dir", "mode": 0o755, **more}


def regular(name, data=b"", **more):
    return {"name": name, "type": "file", "data": data, **more}


def symlink(name, target, **more):
    return {"name": name, "type": "symlink", "link": target, "mode": 0o777, **more}


def hard(name, target, **more):
    return {"name": name, "type": "hard", "link": target, **more}


def whiteout(name):
    head, _, tail = name.rpartition(b"/")
    return regular((head + b"/" if head else b"") + b".wh." + tail, mode=0)


def opaque(name):
    return regular(name + b"/.wh..wh..opq", mode=0o755)
