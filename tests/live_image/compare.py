"""compare.py LAYOUT DIR: whether the tree at DIR is what Python's tarfile says the layers of an OCI layout make together.

Every entry is compared: type, permissions, owner, time, size, link target, device, attributes, contents, and which names are
one file. Prints how many there were, of which kinds and classes, and each difference on a line; exits with 1 where there is one.
"""

import hashlib
import json
import os
import stat
import subprocess
import sys

ORACLE = os.path.join(os.path.dirname(__file__), "..", "import_oracle", "oracle.py")
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}


def digest(path):
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            sha256.update(piece)
    return sha256.hexdigest()


def seen(path):
    found = os.lstat(path)
    kind = KINDS[stat.S_IFMT(found.st_mode)]
    device = [os.major(found.st_rdev), os.minor(found.st_rdev)] if kind in ("char", "block") else []
    xattrs = {name.encode("utf-8", "surrogateescape").hex(): os.getxattr(path, name, follow_symlinks=False).hex()
              for name in os.listxattr(path, follow_symlinks=False)}
    return {
        "kind": kind,
        # Linux gives symbolic links all permissions, whatever an archive says.
        "mode": stat.S_IMODE(found.st_mode) if kind != "symlink" else None,
        "uid": found.st_uid,
        "gid": found.st_gid,
        "mtime_ns": found.st_mtime_ns,
        "size": found.st_size if kind == "file" else 0,
        "target": os.readlink(path).hex() if kind == "symlink" else "",
        "device": device,
        "xattrs": xattrs,
        "sha256": digest(path) if kind == "file" else "",
    }, found


def classes(path, found, status):
    """What an entry is an example of, beside its type."""
    told = {"set-uid": status.st_mode & stat.S_ISUID and found["kind"] == "file",
            "sparse": found["kind"] == "file" and status.st_blocks * 512 + 65536 < status.st_size,
            "hard link": found["kind"] == "file" and status.st_nlink > 1,
            "name that is not UTF-8": not is_utf8(path)}
    for what, name in (("capability", b"security.capability"), ("acl", b"system.posix_acl_access")):
        told[what] = name.hex() in found["xattrs"]
    return [what for what, holds in told.items() if holds]


def is_utf8(name):
    try:
        return bool(name.decode() or True)
    except UnicodeDecodeError:
        return False


def walk(root):
    yield b"", root
    for at, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(at, name)
            yield os.path.relpath(path, root), path


def main(layout, root):
    told = subprocess.run([sys.executable, ORACLE, "oci", layout], check=True, capture_output=True).stdout
    wanted = json.loads(told)["tree"]
    differences, counts, examples, numbers, links = [], {}, {}, {}, {}
    for path, place in walk(os.fsencode(root)):
        want = wanted.pop(path.hex(), None)
        if want is None:
            differences.append(f"{path}: too much")
            continue
        found, status = seen(place)
        if want["kind"] == "symlink":
            want["mode"] = None
        differences += [f"{path}: {key} {found[key]}, not {want[key]}" for key in found if found[key] != want[key]]
        counts[found["kind"]] = counts.get(found["kind"], 0) + 1
        for what in classes(path, found, status):
            examples[what] = examples.get(what, 0) + 1
        if "file" in want:
            numbers.setdefault(want["file"], set()).add(status.st_ino)
            links.setdefault(want["file"], []).append(status.st_nlink)
    differences += [f"{bytes.fromhex(path)}: missing" for path in wanted]
    differences += [f"names of one file have the numbers {each}" for each in numbers.values() if len(each) > 1]
    differences += [f"{len(each)} names of one file say {each}" for each in links.values() if set(each) != {len(each)}]
    if len({number for each in numbers.values() for number in each}) != len(numbers):
        differences.append("two files share a number")
    print(json.dumps({"entries": sum(counts.values()), "kinds": counts, "classes": examples,
                      "differences": differences[:50]}))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
