#!/usr/bin/env python3
"""Writes test images without root and without other tools.

The docker archives have the shape that these versions of Docker are known to write; no Docker wrote them.

    images.py layout DIR            the small image as an OCI layout, tag `small`
    images.py docker-legacy FILE    as `docker save` of Docker up to 24 writes it
    images.py docker-25 FILE        as Docker from 25 on, classic store
    images.py docker-containerd FILE  as Docker with the containerd store
    images.py append DIR TAG        adds the special layer to the image TAG of a layout
"""

import gzip
import hashlib
import json
import os
import sys
import tarfile
from io import BytesIO

sys.dont_write_bytecode = True  # a test leaves nothing in the source tree

import small  # noqa: E402

CREATED = "2020-09-13T12:26:40Z"
CREATED_UNIX = 1_600_000_000
OCI = "application/vnd.oci.image."
NAME, TAG = "docker.io/library/small", "latest"


def dumps(value):
    return json.dumps(value, separators=(",", ":")).encode()


def hexdigest(data):
    return hashlib.sha256(data).hexdigest()


def digest(data):
    return "sha256:" + hexdigest(data)


def squeeze(layer):
    return gzip.compress(layer, 6, mtime=0)


def config(layers):
    history = [{"created": CREATED, "created_by": "layer %d" % i} for i in range(len(layers))]
    history.insert(1, {"created": CREATED, "created_by": "ENV GREETING=hello", "empty_layer": True})
    return dumps({
        "created": CREATED,
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": ["PATH=/bin", "GREETING=hello"],
            "Cmd": ["/bin/sh"],
            "WorkingDir": "/tmp",
            "User": "1000:1001",
            "Labels": {"org.example.kind": "small"},
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(l) for l in layers]},
        "history": history,
    })


def descriptor(media_type, data, **more):
    return {"mediaType": OCI + media_type, "digest": digest(data), "size": len(data), **more}


class Blobs(dict):
    """Blob contents by hex digest; `put` returns the descriptor."""

    def put(self, media_type, data, **more):
        self[hexdigest(data)] = data
        return descriptor(media_type, data, **more)

    def manifest(self, layers, compressed):
        kind = "layer.v1.tar+gzip" if compressed else "layer.v1.tar"
        return dumps({
            "schemaVersion": 2,
            "mediaType": OCI + "manifest.v1+json",
            "config": self.put("config.v1+json", config(layers)),
            "layers": [self.put(kind, squeeze(l) if compressed else l) for l in layers],
        })


def write_layout(directory):
    blobs = Blobs()
    data = blobs.manifest(small.layers(), compressed=True)
    entry = blobs.put("manifest.v1+json", data, annotations={"org.opencontainers.image.ref.name": "small"})
    os.makedirs(os.path.join(directory, "blobs/sha256"))
    for name, blob in blobs.items():
        put(directory, "blobs/sha256/" + name, blob)
    put(directory, "index.json", dumps({"schemaVersion": 2, "manifests": [entry]}))
    put(directory, "oci-layout", dumps({"imageLayoutVersion": "1.0.0"}))


def put(directory, name, data):
    with open(os.path.join(directory, name), "wb") as f:
        f.write(data)


def get(directory, blob):
    with open(os.path.join(directory, "blobs/sha256", blob["digest"].split(":")[1]), "rb") as f:
        return f.read()


def append(directory, tag):
    """Adds one layer to an image of a layout, as a further build step would."""
    with open(os.path.join(directory, "index.json"), "rb") as f:
        index = json.load(f)
    ref = "org.opencontainers.image.ref.name"
    entry = next(m for m in index["manifests"] if m.get("annotations", {}).get(ref) == tag)
    manifest = json.loads(get(directory, entry))
    conf = json.loads(get(directory, manifest["config"]))
    blobs = Blobs()
    layer = small.special_layer()
    conf["rootfs"]["diff_ids"].append(digest(layer))
    conf.setdefault("history", []).append({"created": CREATED, "created_by": "special files"})
    manifest["layers"].append(blobs.put("layer.v1.tar+gzip", squeeze(layer)))
    manifest["config"] = blobs.put("config.v1+json", dumps(conf))
    entry.update(blobs.put("manifest.v1+json", dumps(manifest)))
    for name, blob in blobs.items():
        put(directory, "blobs/sha256/" + name, blob)
    put(directory, "index.json", dumps(index))


class Archive:
    """A tar of a directory as Docker makes it: sorted by path, directories first, no entry for the root."""

    def __init__(self):
        self.entries = {}

    def file(self, path, data, mode=0o644, mtime=0):
        self.entries[path] = (tarfile.REGTYPE, data, mode, mtime)
        parts = path.split("/")[:-1]
        for n in range(1, len(parts) + 1):
            self.entries["/".join(parts[:n]) + "/"] = (tarfile.DIRTYPE, b"", 0o755, CREATED_UNIX)

    def link(self, path, target):
        self.file(path, target.encode(), 0o777)
        self.entries[path] = (tarfile.SYMTYPE, target.encode(), 0o777, CREATED_UNIX)

    def write(self, path):
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name in sorted(self.entries):
                kind, data, mode, mtime = self.entries[name]
                info = tarfile.TarInfo(name)
                info.type, info.mode, info.mtime = kind, mode, mtime
                if kind == tarfile.SYMTYPE:
                    info.linkname = data.decode()
                    tar.addfile(info)
                else:
                    info.size = len(data)
                    tar.addfile(info, BytesIO(data))


def repeated_layers():
    """The small image with its second layer applied once more: two layers with one diff id."""
    layers = small.layers()
    return layers + [layers[1]]


def v1_configs(layers):
    """The per-layer configs that old readers wanted: (id, json), each naming its parent."""
    parent, out = None, []
    for number, layer in enumerate(layers):
        v1 = {"created": "1970-01-01T00:00:00Z", "container_config": {"Cmd": None}, "os": "linux"}
        if number == len(layers) - 1:
            v1 = {"created": CREATED, "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]}}
        ident = hexdigest(dumps([v1, digest(layer), parent]))
        v1 = {"id": ident, **({"parent": parent} if parent else {}), **v1}
        out.append((ident, dumps(v1)))
        parent = ident
    return out


def docker_legacy(path):
    layers = repeated_layers()
    archive, first, names = Archive(), {}, []
    for layer, (ident, v1) in zip(layers, v1_configs(layers)):
        archive.file(ident + "/VERSION", b"1.0", mtime=CREATED_UNIX)
        archive.file(ident + "/json", v1, mtime=CREATED_UNIX)
        if layer in first:
            archive.link(ident + "/layer.tar", "../" + first[layer] + "/layer.tar")
        else:
            first[layer] = ident
            archive.file(ident + "/layer.tar", layer, mtime=CREATED_UNIX)
        names.append(ident + "/layer.tar")
    conf = config(layers)
    archive.file(hexdigest(conf) + ".json", conf, mtime=CREATED_UNIX)
    manifest = [{"Config": hexdigest(conf) + ".json", "RepoTags": ["small:latest"], "Layers": names}]
    archive.file("manifest.json", dumps(manifest) + b"\n")
    archive.file("repositories", dumps({"small": {"latest": ident}}) + b"\n")
    archive.write(path)


def names_of(ref, tag):
    return {"io.containerd.image.name": ref + ":" + tag, "org.opencontainers.image.ref.name": tag}


def docker_25(path):
    layers = repeated_layers()
    archive, blobs = Archive(), Blobs()
    manifest = blobs.manifest(layers, compressed=False)
    entry = blobs.put("manifest.v1+json", manifest, annotations=names_of(NAME, TAG))
    for _, v1 in v1_configs(layers):
        blobs[hexdigest(v1)] = v1
    for name, blob in blobs.items():
        archive.file("blobs/sha256/" + name, blob, mtime=CREATED_UNIX)
    sources = {digest(l): descriptor("layer.v1.tar", l) for l in layers}
    conf = config(layers)
    legacy = [{
        "Config": "blobs/sha256/" + hexdigest(conf),
        "RepoTags": ["small:latest"],
        "Layers": ["blobs/sha256/" + hexdigest(l) for l in layers],
        "LayerSources": sources,
    }]
    index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [entry]}
    archive.file("index.json", dumps(index))
    archive.file("manifest.json", dumps(legacy) + b"\n")
    archive.file("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    archive.file("repositories", dumps({"small": {"latest": hexdigest(layers[-1])}}) + b"\n")
    archive.write(path)


def attestation(blobs, subject):
    """The manifest that BuildKit puts beside an image; its only layer is a statement, not a tar."""
    statement = dumps({"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://slsa.dev/provenance/v0.2"})
    layer = {
        "mediaType": "application/vnd.in-toto+json",
        "digest": digest(statement),
        "size": len(statement),
        "annotations": {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"},
    }
    blobs[hexdigest(statement)] = statement
    conf = dumps({"architecture": "unknown", "os": "unknown", "config": {},
                  "rootfs": {"type": "layers", "diff_ids": [digest(statement)]}})
    manifest = dumps({"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
                      "config": blobs.put("config.v1+json", conf), "layers": [layer]})
    marks = {"vnd.docker.reference.digest": subject, "vnd.docker.reference.type": "attestation-manifest"}
    unknown = {"architecture": "unknown", "os": "unknown"}
    return blobs.put("manifest.v1+json", manifest, annotations=marks, platform=unknown)


def docker_containerd(path):
    layers = repeated_layers()
    archive, blobs = Archive(), Blobs()
    manifest = blobs.manifest(layers, compressed=True)
    amd64 = blobs.put("manifest.v1+json", manifest, platform={"architecture": "amd64", "os": "linux"})
    nested = dumps({"schemaVersion": 2, "mediaType": OCI + "index.v1+json",
                    "manifests": [amd64, attestation(blobs, amd64["digest"])]})
    entry = blobs.put("index.v1+json", nested, annotations=names_of(NAME, TAG))
    for name, blob in blobs.items():
        archive.file("blobs/sha256/" + name, blob, mode=0o444)
    legacy = [{
        "Config": "blobs/sha256/" + hexdigest(config(layers)),
        "RepoTags": ["small:latest"],
        "Layers": ["blobs/sha256/" + hexdigest(squeeze(l)) for l in layers],
    }]
    index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [entry]}
    archive.file("index.json", dumps(index))
    archive.file("manifest.json", dumps(legacy))
    archive.file("oci-layout", dumps({"imageLayoutVersion": "1.0.0"}), mode=0o444)
    archive.write(path)


VERBS = {
    "layout": write_layout,
    "docker-legacy": docker_legacy,
    "docker-25": docker_25,
    "docker-containerd": docker_containerd,
    "append": append,
}

if __name__ == "__main__":
    VERBS[sys.argv[1]](*sys.argv[2:])
