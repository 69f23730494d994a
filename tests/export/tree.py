"""Compares trees: `tree.py A B` prints each difference in what A and B show, `tree.py A` what A shows, as JSON.

Names, types, permissions, owners, times, devices, targets, extended attributes, contents, and which names are one file. Sockets
are left out: no archive holds them.
"""

import hashlib
import json
import os
import stat
import sys

# Labels of a machine's own policy, and bookkeeping of whoever unpacked.
IGNORED = (b"security.selinux",)


def contents(path):
    total = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def attributes(path):
    names = os.listxattr(path, follow_symlinks=False)
    kept = [n for n in names if os.fsencode(n) not in IGNORED and ".overlay." not in n]
    return {n: os.getxattr(path, n, follow_symlinks=False).hex() for n in sorted(kept)}


def shown(top, ignore=()):
    top = os.fsencode(top)
    seen, groups = {}, {}
    todo = [b"."]
    while todo:
        at = todo.pop()
        path = os.path.join(top, at)
        info = os.lstat(path)
        kind = stat.S_IFMT(info.st_mode)
        if kind == stat.S_IFSOCK:
            continue
        what = {
            "type": kind >> 12,
            "mode": info.st_mode & 0o7777,
            "owner": [info.st_uid, info.st_gid],
            "mtime": info.st_mtime_ns,
            "xattrs": attributes(path),
        }
        if kind == stat.S_IFREG:
            what["size"], what["contents"] = info.st_size, contents(path)
        elif kind == stat.S_IFLNK:
            what["target"] = os.readlink(path).hex()
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            what["device"] = info.st_rdev
        if kind == stat.S_IFDIR:
            todo.extend(os.path.join(at, name) if at != b"." else name for name in os.listdir(path))
        elif info.st_nlink > 1:
            groups.setdefault((info.st_dev, info.st_ino), []).append(at)
        for key in ignore:
            what.pop(key, None)
        seen[at] = what
    for names in groups.values():
        for name in names:
            seen[name]["links"] = sorted(os.fsdecode(n) for n in names)
    return seen


def differences(a, b):
    for name in sorted(a.keys() | b.keys()):
        if a.get(name) != b.get(name):
            yield f"{os.fsdecode(name)!r}: {a.get(name)} != {b.get(name)}"


def main():
    trees = [word for word in sys.argv[1:] if not word.startswith("--")]
    ignore = [word[len("--without="):] for word in sys.argv[1:] if word.startswith("--without=")]
    if len(trees) == 1:
        print(json.dumps({os.fsdecode(k): v for k, v in shown(trees[0], ignore).items()}, sort_keys=True))
        return 0
    a, b = (shown(tree, ignore) for tree in trees)
    for word in sys.argv[1:]:
        if word.startswith("--except="):
            path, _, key = os.fsencode(word[len("--except="):]).rpartition(b":")
            for tree in (a, b):
                tree.get(path, {}).pop(key.decode(), None)
    found = list(differences(a, b))
    print("\n".join(found[:40]))
    print(f"{len(a)} entries, {len(found)} differences", file=sys.stderr)
    return 1 if found else 0


sys.exit(main())
