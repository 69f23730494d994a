"""base.py DIR: an image of busybox and two layers, with names to remove, rename and change, as an OCI layout with the tag 1.

No two files have one size and one time: podman takes such for unchanged.
"""

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile

START = 1_600_000_000


class Layer:
    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.PAX_FORMAT)
        self.count = 0

    def put(self, name, kind, mode, data=b"", owner=(0, 0), target=""):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.linkname = kind, mode, len(data), target
        info.uid, info.gid = owner
        info.mtime = START + self.count
        self.count += 1
        self.tar.addfile(info, io.BytesIO(data))

    def directory(self, name, mode=0o755, owner=(0, 0)):
        self.put(name, tarfile.DIRTYPE, mode, owner=owner)

    def file(self, name, data=b"", mode=0o644, owner=(0, 0)):
        self.put(name, tarfile.REGTYPE, mode, data, owner)

    def link(self, name, target):
        self.put(name, tarfile.LNKTYPE, 0o755, target=target)

    def end(self):
        self.tar.close()
        return self.bytes.getvalue()


def base():
    layer = Layer()
    for name in ("bin", "dev", "etc", "home", "opt", "proc", "root", "run", "sys", "usr", "usr/lib", "usr/share", "var"):
        layer.directory(name)
    layer.directory("tmp", 0o1777)
    busybox = shutil.which("busybox")
    layer.file("bin/busybox", open(busybox, "rb").read(), 0o755)
    for applet in subprocess.check_output([busybox, "--list"], text=True).split():
        if applet != "busybox":
            layer.link("bin/" + applet, "bin/busybox")
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    layer.file("etc/group", b"root:x:0:\nuser:x:1000:\n")
    layer.directory("home/user", 0o750, (1000, 1000))
    for n in range(20):
        layer.directory("usr/share/d%d" % n)
        for m in range(5):
            layer.file("usr/share/d%d/f%d" % (n, m), b"%d %d\n" % (n, m) * 100)
    layer.file("opt/hard1", b"hard" * 1000)
    layer.link("opt/hard2", "opt/hard1")
    return layer.end()


def second():
    layer = Layer()
    layer.count = 10_000
    layer.directory("opt/lib")
    layer.directory("opt/lib/sub")
    for name in ("a", "b", "sub/c"):
        layer.file("opt/lib/" + name, name.encode())
    layer.file("usr/share/d3/.wh.f1")
    layer.directory("usr/share/d4")
    layer.file("usr/share/d4/.wh..wh..opq")
    layer.file("usr/share/d4/only", b"only")
    return layer.end()


def main(out):
    os.makedirs(out + "/blobs/sha256")

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        with open(out + "/blobs/sha256/" + digest, "wb") as written:
            written.write(data)
        return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest, "size": len(data)}

    layers = [blob(layer, "layer.v1.tar") for layer in (base(), second())]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    config = {
        "architecture": machine, "os": "linux", "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "base.py"} for _ in layers],
    }
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), "config.v1+json"), "layers": layers,
    }
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    with open(out + "/index.json", "w") as index:
        json.dump({"schemaVersion": 2, "manifests": [entry]}, index)
    with open(out + "/oci-layout", "w") as layout:
        layout.write('{"imageLayoutVersion":"1.0.0"}')


main(sys.argv[1])
