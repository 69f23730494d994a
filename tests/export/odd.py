"""`odd.py DIR`: an OCI layout with one image, each layer in a form that some writer has and ours has not."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

OCI = "application/vnd.oci.image."


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def gnu_tar(place, *flags):
    return subprocess.run(["tar", "-C", place, "-S", *flags, "-cf", "-", "."], check=True, capture_output=True).stdout


def tree(place, seed):
    """Files with holes, larger and smaller than what an index keeps, and names too long for a header."""
    os.makedirs(os.path.join(place, "n" * 120, "m" * 120))
    for name, size in (("few", 200_000), ("many", 3_000_000)):
        with open(os.path.join(place, name + seed), "wb") as f:
            f.truncate(size)
            for offset in range(0, size, 150_000):
                f.seek(offset)
                f.write((seed * 4096).encode())
    for name, size in (("empty", 0), ("small", 4096), ("large", 4097), ("larger", 2_500_001)):
        with open(os.path.join(place, "n" * 120, "m" * 120, name + seed), "wb") as f:
            f.write((seed * size).encode())


def replaced():
    """The same name three times: large, larger, small; and a file that a directory replaces."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in (
            ("a", b"1" * 9000), ("b", b"2" * 2_000_000), ("a", b"3" * 2_000_000), ("a", b"small"), ("b", b"1" * 9000),
            ("c", b"4" * 50_000), ("keep", b"3" * 2_000_000),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo("c")
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
    return out.getvalue() + b"bytes after the end" * 1000


def main(place):
    blobs = os.path.join(place, "blobs/sha256")
    os.makedirs(blobs)

    def put(kind, data):
        with open(os.path.join(blobs, hashlib.sha256(data).hexdigest()), "wb") as f:
            f.write(data)
        return {"mediaType": OCI + kind, "digest": digest(data), "size": len(data)}

    archives = []
    for number, flags in enumerate((
        ["--format=gnu"],
        ["--format=oldgnu"],
        ["--format=posix", "--sparse-version=0.0"],
        ["--format=posix", "--sparse-version=0.1"],
        ["--format=posix", "--sparse-version=1.0", "-b", "64"],
    )):
        source = os.path.join(place, "tree")
        tree(source, "abcde"[number])
        archives.append(gnu_tar(source, *flags))
        subprocess.run(["rm", "-r", source], check=True)
    archives.append(replaced())
    archives.append(b"\0" * 1024)
    archives.append(archives[-1][:512] * 3 + b"x" * 100)
    packed = []
    for number, archive in enumerate(archives):
        if number % 3 == 0:
            packed.append(put("layer.v1.tar", archive))
        elif number % 3 == 1:
            half = len(archive) // 2
            members = gzip.compress(archive[:half]) + gzip.compress(archive[half:])
            packed.append(put("layer.v1.tar+gzip", members))
        else:
            zstd = subprocess.run(["zstd", "-q", "-c"], input=archive, check=True, capture_output=True).stdout
            packed.append(put("layer.v1.tar+zstd", zstd))
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {"architecture": machine, "os": "linux", "config": {}, "odd": {"kept": [1, None]},
              "rootfs": {"type": "layers", "diff_ids": [digest(archive) for archive in archives]}}
    manifest = {"schemaVersion": 2, "config": put("config.v1+json", json.dumps(config, indent=3).encode()), "layers": packed}
    entry = put("manifest.v1+json", json.dumps(manifest).encode())
    entry["annotations"] = {"org.opencontainers.image.ref.name": "odd:1"}
    for name, value in (("index.json", {"schemaVersion": 2, "manifests": [entry]}),
                        ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        with open(os.path.join(place, name), "w") as f:
            json.dump(value, f)


main(sys.argv[1])
