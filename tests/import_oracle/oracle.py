"""Says with Python's tarfile what is in an image: in each layer, and in the tree that its layers make together.

oracle.py oci DIR|FILE      an OCI layout with one image
oracle.py docker FILE       a docker archive with one image

Prints one JSON object: `diff_ids`, `chain_id`, `layers` (one object of entries each) and `tree`. Nothing is extracted: a tree
is a dict from path to entry. Paths are hexadecimal; names of one file have one `file` number.
"""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
from decimal import Decimal, ROUND_FLOOR

XATTR = "SCHILY.xattr."
KINDS = {
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
}


def raw(string):
    return string.encode("utf-8", "surrogateescape")


def parts(name):
    return tuple(part for part in raw(name).split(b"/") if part not in (b"", b"."))


def moment(info):
    """Nanoseconds, from the record's own digits: tarfile keeps a float."""
    value = Decimal(info.pax_headers.get("mtime", str(int(info.mtime))))
    return int((value * 10**9).to_integral_value(ROUND_FLOOR))


def entry_of(archive, info):
    kind = "file" if info.isreg() else "directory" if info.isdir() else KINDS[info.type]
    data = archive.extractfile(info).read() if kind == "file" else b""
    xattrs = {
        raw(key[len(XATTR):]).hex(): raw(value).hex()
        for key, value in info.pax_headers.items()
        if key.startswith(XATTR)
    }
    return {
        "kind": kind,
        "mode": info.mode & 0o7777,
        "uid": info.uid,
        "gid": info.gid,
        "mtime_ns": moment(info),
        "size": len(data),
        "target": raw(info.linkname).hex() if kind == "symlink" else "",
        "device": [info.devmajor, info.devminor] if kind in ("char", "block") else [],
        "xattrs": xattrs,
        "sha256": hashlib.sha256(data).hexdigest() if kind == "file" else "",
    }


def implied():
    return {"kind": "directory", "mode": 0o755, "uid": 0, "gid": 0, "mtime_ns": 0, "size": 0, "target": "",
            "device": [], "xattrs": {}, "sha256": ""}


class Tree(dict):
    """Path to entry; hard links share the entry itself."""

    def below(self, path):
        return [other for other in self if len(other) > len(path) and other[:len(path)] == path]

    def drop(self, path):
        for other in self.below(path) + [path]:
            self.pop(other, None)

    def parents(self, path, mark):
        for depth in range(len(path)):
            above = path[:depth]
            if self.get(above, {}).get("kind") != "directory":
                self.drop(above)
                self[above] = {**implied(), **mark}

    def put(self, path, entry, mark):
        self.parents(path, mark)
        old = self.get(path)
        if not (old and old["kind"] == entry["kind"] == "directory"):
            self.drop(path)
        self[path] = entry


def entries(layer):
    """(path, entry, path of the hard link's target or None) of a layer."""
    with tarfile.open(fileobj=io.BytesIO(layer), encoding="utf-8", errors="surrogateescape") as archive:
        for info in archive:
            path = parts(info.name)
            if info.islnk():
                yield path, None, parts(info.linkname)
            else:
                yield path, entry_of(archive, info), None


def hidden(path, entry):
    """The path that a whiteout hides, in either of its two forms; None for anything else."""
    if path and path[-1].startswith(b".wh."):
        return path[:-1] + (path[-1][4:],)
    is_device = entry is not None and entry["kind"] == "char" and entry["device"] == [0, 0]
    return path if is_device else None


def alone(layer):
    """A layer by itself: marks are entries or stand at their directory."""
    tree, whiteouts, opaque = Tree(), set(), set()
    tree[()] = {**implied(), "implied": True}
    for path, entry, target in entries(layer):
        name = path[-1] if path else b""
        if name == b".wh..wh..opq":
            opaque.add(path[:-1])
            tree.parents(path, {"implied": True})
        elif hidden(path, entry):
            whiteouts.add(hidden(path, entry))
            tree.parents(path, {"implied": True})
        else:
            tree.put(path, tree[target] if target is not None else entry, {"implied": True})
    for path in whiteouts:
        if path not in tree:
            tree[path] = {"kind": "whiteout"}
        elif tree[path]["kind"] == "directory":
            opaque.add(path)
    for path in opaque:
        tree[path] = {**tree[path], "opaque": True}
    return tree


def apply(tree, layer):
    """Whiteouts speak of what is below the layer, wherever in it they stand."""
    found = list(entries(layer))
    for path, entry, _ in found:
        name = path[-1] if path else b""
        if name == b".wh..wh..opq":
            for below in tree.below(path[:-1]):
                del tree[below]
        elif hidden(path, entry):
            tree.drop(hidden(path, entry))
    placed = Tree()
    for path, entry, target in found:
        if hidden(path, entry):
            tree.parents(path, {})
        else:
            # A link means a file of its own layer.
            entry = placed[target] if target is not None else entry
            placed[path] = entry
            tree.put(path, entry, {})


def shown(tree):
    numbers = {}
    answer = {}
    for path in sorted(tree):
        entry = tree[path]
        if entry["kind"] not in ("directory", "whiteout"):
            entry = {**entry, "file": numbers.setdefault(id(entry), len(numbers))}
        answer[b"/".join(path).hex()] = entry
    return answer


def unpacked(blob):
    if blob[:2] == b"\x1f\x8b":
        return gzip.decompress(blob)
    return blob


def reader(source):
    """A function from a member's name to its bytes."""
    if os.path.isdir(source):
        return lambda name: open(os.path.join(source, name), "rb").read()
    archive = tarfile.open(source)

    def read(name):
        return archive.extractfile(archive.getmember(name)).read()

    return read


def oci(read):
    def blob(descriptor):
        return read("blobs/sha256/" + descriptor["digest"].split(":")[1])

    document = json.loads(read("index.json"))
    while "manifests" in document:
        images = [entry for entry in document["manifests"]
                  if entry.get("annotations", {}).get("vnd.docker.reference.type") != "attestation-manifest"]
        document = json.loads(blob(images[0]))
    return [unpacked(blob(layer)) for layer in document["layers"]]


def docker(read):
    return [unpacked(read(name)) for name in json.loads(read("manifest.json"))[0]["Layers"]]


def main(form, source):
    layers = {"oci": oci, "docker": docker}[form](reader(source))
    tree = Tree()
    tree[()] = implied()
    for layer in layers:
        apply(tree, layer)
    diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    chain = diff_ids[0]
    for diff_id in diff_ids[1:]:
        chain = "sha256:" + hashlib.sha256((chain + " " + diff_id).encode()).hexdigest()
    json.dump({"diff_ids": diff_ids, "chain_id": chain, "layers": [shown(alone(layer)) for layer in layers],
               "tree": shown(tree)}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
