"""Puts a layer on an image: `stack.py IMAGE LAYER OUT NAME` reads two archives, docker's and a layer's, and writes docker's.

What is on the layers below is taken as it is; the layer becomes the image's last one.
"""

import hashlib
import io
import json
import sys
import tarfile


def main(image, layer, out, name):
    with tarfile.open(image) as old, tarfile.open(out, "w") as new:

        def add(path, data):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            new.addfile(entry, io.BytesIO(data))

        with open(layer, "rb") as f:
            data = f.read()
        (manifest,) = json.load(old.extractfile("manifest.json"))
        config = json.load(old.extractfile(manifest["Config"]))
        config["rootfs"]["diff_ids"].append("sha256:" + hashlib.sha256(data).hexdigest())
        config.setdefault("history", []).append({"created_by": "stack.py"})
        for path in manifest["Layers"]:
            add(path, old.extractfile(path).read())
        add("top.tar", data)
        add("config.json", json.dumps(config).encode())
        told = {"Config": "config.json", "RepoTags": [name], "Layers": manifest["Layers"] + ["top.tar"]}
        add("manifest.json", json.dumps([told]).encode())


main(*sys.argv[1:])
