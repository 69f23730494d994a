"""Very many entries in one directory: of the lower and the upper together, or of the upper alone."""

import os

from calls import run, tell

COUNT = 100_000 if os.environ.get("LAYERFS_SOAK") == "1" else 20_000


def lower():
    os.mkdir("merged")
    for n in range(COUNT // 2):
        os.mknod(f"merged/lower-{n}", 0o100644)




def many(path, names, made):
    tell("made", sum(os.mknod(f"{path}/{name}", 0o100644) is None for name in made))
    tell("listed", sorted(os.listdir(path)) == sorted(names))
    numbers = {entry.name: entry.inode() for entry in os.scandir(path)}
    tell("stat", sum(os.stat(f"{path}/{name}").st_ino == numbers[name] for name in names))
    tell("distinct", len(set(numbers.values())))
    tell("renamed", os.rename(f"{path}/{names[7]}", f"{path}/renamed"))
    os.rename(f"{path}/renamed", f"{path}/{names[7]}")
    for name in names[::2]:
        os.unlink(f"{path}/{name}")
    tell("half", sorted(os.listdir(path)) == sorted(names[1::2]))
    for name in names[1::2]:
        os.unlink(f"{path}/{name}")
    tell("none", os.listdir(path))
    tell("removed", os.rmdir(path))


def merged():
    made = [f"upper-{n}" for n in range(COUNT // 2)]
    many("merged", [f"lower-{n}" for n in range(COUNT // 2)] + made, made)


def upper():
    os.mkdir("upper")
    made = [f"upper-{n}" for n in range(COUNT)]
    many("upper", made, made)


run(lower, {"merged": merged, "upper": upper})
