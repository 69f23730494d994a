"""changes.py DIR SEED: random changes of names and files below DIR, all of which may be refused; then what it shows, sorted."""

import hashlib
import os
import random
import stat
import sys

NAMES, KINDS = ("a", "b", "c", "low"), ("write", "append", "cut", "mkdir", "symlink", "fifo", "remove", "rename", "mode", "time", "attribute")


def change(dice, top):
    path = lambda: os.path.join(top, *dice.choices(NAMES, k=dice.randint(1, 3)))
    at, kind = path(), dice.choice(KINDS)
    match kind:
        case "write" | "append":
            with open(at, "w" if kind == "write" else "a") as file:
                file.write(kind)
        case "cut":
            os.truncate(at, 2)
        case "mkdir":
            os.mkdir(at)
        case "symlink":
            os.symlink("target", at)
        case "fifo":
            os.mkfifo(at)
        case "remove":
            os.rmdir(at) if os.path.isdir(at) and not os.path.islink(at) else os.unlink(at)
        case "rename":
            os.rename(at, path())
        case "mode":
            os.chmod(at, dice.choice((0o700, 0o750, 0o644, 0o1777)))
        case "time":
            os.utime(at, ns=(10 ** 18, 10 ** 18 + dice.randint(0, 9)), follow_symlinks=False)
        case "attribute":
            os.setxattr(at, "user.word", b"value", follow_symlinks=False)


def shown(top):
    for place, dirs, files in os.walk(top):
        for name in dirs + files:
            at = os.path.join(place, name)
            found = os.lstat(at)
            words = [os.path.relpath(at, top), stat.filemode(found.st_mode), found.st_uid, found.st_gid]
            if stat.S_ISREG(found.st_mode):
                with open(at, "rb") as file:
                    words.append(hashlib.sha256(file.read()).hexdigest())
            if stat.S_ISLNK(found.st_mode):
                words.append(os.readlink(at))
            if not stat.S_ISDIR(found.st_mode):
                words.append(found.st_mtime_ns)
            words += [f"{key}={os.getxattr(at, key, follow_symlinks=False)}" for key in sorted(os.listxattr(at, follow_symlinks=False))
                      if key.startswith("user.")]
            yield " ".join(map(str, words))


def main():
    top, seed = sys.argv[1:]
    dice = random.Random(int(seed))
    for _ in range(60 if int(seed) else 0):
        try:
            change(dice, top)
        except OSError:
            pass
    print("\n".join(sorted(shown(top))))


main()
