"""The small image: three layers, a few dozen entries, one of each thing that a layer can do to the one below."""

import struct

from tarball import directory, hard, opaque, regular, symlink, tarball, whiteout

# VFS_CAP_REVISION_2, effective; the permitted set (CHOWN | FOWNER) holds the byte 0x0a, which ends a careless pax reader.
CAPABILITY = struct.pack("<5I", 0x0200_0001, 0x0000_000A, 0, 0, 0)


def acl(*entries):
    """A POSIX ACL as the kernel stores it: version 2, then (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


NOBODY = 0xFFFF_FFFF
ACL = acl((0x01, 6, NOBODY), (0x02, 4, 1000), (0x04, 4, NOBODY), (0x10, 4, NOBODY), (0x20, 4, NOBODY))


def base():
    return [
        directory(b"bin"),
        regular(b"bin/tool", b"#!/bin/tool\n" * 500, mode=0o755),
        hard(b"bin/tool-2", b"bin/tool", mode=0o755),
        symlink(b"bin/sh", b"tool"),
        regular(b"bin/su", b"setuid\n", mode=0o4755),
        regular(b"bin/ping", b"capable\n", mode=0o755, xattrs={b"security.capability": CAPABILITY}),
        directory(b"etc"),
        regular(b"etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"),
        regular(b"etc/gone", b"deleted by the second layer\n"),
        regular(b"etc/owned", b"of 1000:1001\n", uid=1000, gid=1001, mode=0o600),
        regular(b"etc/acl", b"guarded\n", xattrs={b"system.posix_acl_access": ACL}),
        regular(b"etc/user", b"", xattrs={b"user.note": b"line\nlinkpath=/etc/passwd\n\0end"}, mtime_ns=123_456_789),
        symlink(b"etc/mtab", b"/proc/self/mounts"),
        directory(b"dev"),
        {"name": b"dev/null", "type": "char", "mode": 0o666, "device": (1, 3)},
        {"name": b"dev/loop0", "type": "block", "mode": 0o660, "device": (7, 0), "gid": 6},
        {"name": b"dev/initctl", "type": "fifo", "mode": 0o600},
        directory(b"tmp", mode=0o1777),
        directory(b"usr"),
        directory(b"usr/share"),
        directory(b"usr/share/doc"),
        regular(b"usr/share/doc/README", b"covered by the opaque directory\n"),
        regular(b"usr/share/doc/big", bytes(range(256)) * 64),
        directory(b"usr/share/kept"),
        regular(b"usr/share/kept/a", b"a"),
        regular(b"usr/share/kept/b", b"b"),
        regular(b"usr/share/" + b"long-" * 24 + b"name", b"longer than a ustar header holds\n"),
        regular(b"usr/share/latin-\xe9", b"not UTF-8\n"),
        directory(b"var"),
        directory(b"var/cache"),
        regular(b"var/cache/pkg", b"0" * 5000),
        directory(b"var/swap"),
        regular(b"var/swap/inside", b"goes when the directory becomes a file\n"),
        regular(b"var/empty"),
    ]


def changes():
    return [
        directory(b"etc"),
        whiteout(b"etc/gone"),
        regular(b"etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"),
        directory(b"usr"),
        directory(b"usr/share"),
        directory(b"usr/share/doc"),
        opaque(b"usr/share/doc"),
        regular(b"usr/share/doc/NEW", b"the only name left\n"),
        directory(b"usr/share/kept", mode=0o700),
        whiteout(b"usr/share/kept/b"),
        directory(b"var"),
        whiteout(b"var/cache"),
        regular(b"var/swap", b"a file now\n"),
        directory(b"bin"),
        whiteout(b"bin/tool-2"),
    ]


def again():
    return [
        directory(b"var"),
        directory(b"var/cache", mode=0o750),
        regular(b"var/cache/fresh", b"re-created\n"),
        directory(b"etc"),
        regular(b"etc/gone", b"back again\n"),
        directory(b"opt"),
        regular(b"opt/one", b"shared by three names\n"),
        hard(b"opt/two", b"opt/one"),
        hard(b"opt/three", b"opt/one"),
        directory(b"usr"),
        directory(b"usr/share"),
        whiteout(b"usr/share/latin-\xe9"),
    ]


def layers():
    return [tarball(base()), tarball(changes()), tarball(again())]


def special_layer():
    """What buildah's own layers can't carry, for the Debian image: an ACL, a name in Latin-1, a second opaque directory."""
    return tarball([
        directory(b"srv"),
        regular(b"srv/acl", b"guarded\n", xattrs={b"system.posix_acl_access": ACL}),
        directory(b"srv/acl-default", xattrs={b"system.posix_acl_default": ACL}),
        regular(b"srv/capable", b"#!\n", mode=0o755, xattrs={b"security.capability": CAPABILITY}),
        regular(b"srv/latin-\xe9", b"not UTF-8\n"),
        {"name": b"srv/null", "type": "char", "mode": 0o666, "device": (1, 3)},
        {"name": b"srv/fifo", "type": "fifo", "mode": 0o600},
    ])
