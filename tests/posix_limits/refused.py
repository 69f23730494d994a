"""Changes that the disk refuses: attributes that it can't have, and no inode left. The tree is as it was before each of them."""

import hashlib
import os
import stat

from calls import answer_of, call, run, tell, write_file

AT_FDCWD = -100
RENAME_EXCHANGE = 2
LARGE = bytes(range(256)) * 160
FILES = ("write", "read and write", "empty", "empty and read", "truncate", "cut", "chmod", "chown", "utime", "attribute",
         "no attribute", "list", "link", "rename", "exchange", "renamed over", "unlink")
DIRS = ("make in", "make directory in", "unlink in", "rename in", "rename", "chmod", "utime", "attribute", "remove")
OTHERS = ("utime", "chown", "link", "rename", "unlink")


def made(name, kind):
    if kind == "file":
        write_file(name, b"contents" * 1000)
    elif kind == "group":
        write_file(name, b"contents" * 1000)
        os.link(name, f"{name}-other")
    elif kind == "dir":
        os.mkdir(name)
        write_file(f"{name}/inside", b"inside")
    elif kind == "link":
        os.symlink("target", name)
    else:
        os.mkfifo(name)


DEEDS_OF = {"file": FILES, "group": FILES, "dir": DIRS, "link": OTHERS, "fifo": OTHERS}


def objects():
    for kind, deeds in DEEDS_OF.items():
        for word in deeds:
            yield f"{kind}-{word.replace(' ', '-')}", kind, word


def lower():
    write_file("small", b"small")
    for name, kind, _ in objects():
        made(name, kind)
        attribute = "user.large" if kind in ("file", "group", "dir") else "trusted.large"
        try:
            os.setxattr(name, attribute, LARGE, follow_symlinks=False)
        except OSError:
            pass  # It is no case of this disk's then.


def emptied(name, flags):
    os.close(os.open(name, flags | os.O_TRUNC))


def exchanged(name):
    call("renameat2", AT_FDCWD, name, AT_FDCWD, "small", RENAME_EXCHANGE)


def put_over(name):
    write_file("coming", b"coming")
    os.rename("coming", name)


def listed(name):
    os.setxattr(name, "system.posix_acl_access", bytes.fromhex(
        "02000000" "01000600ffffffff" "02000400d2040000" "04000400ffffffff" "10000400ffffffff" "20000000ffffffff"))


DEEDS = {
    "write": lambda name: os.close(os.open(name, os.O_WRONLY)),
    "read and write": lambda name: os.close(os.open(name, os.O_RDWR)),
    "empty": lambda name: emptied(name, os.O_WRONLY),
    "empty and read": lambda name: emptied(name, os.O_RDONLY),
    "truncate": lambda name: os.truncate(name, 0),
    "cut": lambda name: os.truncate(name, 10),
    "chmod": lambda name: os.chmod(name, 0o700),
    "chown": lambda name: os.chown(name, 7, 7, follow_symlinks=False),
    "utime": lambda name: os.utime(name, ns=(5, 5), follow_symlinks=False),
    "attribute": lambda name: os.setxattr(name, "user.word", b"value"),
    "no attribute": lambda name: os.removexattr(name, "user.large"),
    "list": listed,
    "link": lambda name: os.link(name, f"{name}-linked", follow_symlinks=False),
    "rename": lambda name: os.rename(name, f"{name}-moved"),
    "exchange": exchanged,
    "renamed over": put_over,
    "unlink": os.unlink,
    "make in": lambda name: write_file(f"{name}/new", b"new"),
    "make directory in": lambda name: os.mkdir(f"{name}/new"),
    "unlink in": lambda name: os.unlink(f"{name}/inside"),
    "rename in": lambda name: os.rename(f"{name}/inside", f"{name}/moved"),
    "remove": os.rmdir,
}


def seen(path):
    """All of one object that is to be as it was. Who tries to change a directory's names may change its times."""
    meta = os.lstat(path)
    attributes = {attribute: hashlib.sha256(os.getxattr(path, attribute, follow_symlinks=False)).digest()
                  for attribute in sorted(os.listxattr(path, follow_symlinks=False))}
    is_dir, what = stat.S_ISDIR(meta.st_mode), b""
    if stat.S_ISREG(meta.st_mode):
        with open(path, "rb") as file:
            what = hashlib.sha256(file.read()).digest()
    if is_dir:
        what = sorted(os.listdir(path))
    return (meta.st_mode, meta.st_uid, meta.st_gid, attributes, what, meta.st_ino,
            None if is_dir else (meta.st_nlink, meta.st_size, meta.st_mtime_ns))


def photo(name=""):
    """The objects whose names begin so, what is in them, and the names of all."""
    names = sorted(os.listdir("."))
    found = {"": names}
    for top in names:
        if not top.startswith(name) and top != "small":
            continue
        found[top] = seen(top)
        if os.path.isdir(top) and not os.path.islink(top):
            found.update({f"{top}/{entry}": seen(f"{top}/{entry}") for entry in os.listdir(top)})
    return found


def differences(before, after):
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def tried(label, deed, name=""):
    """What it answers, and what it changed although it was refused."""
    before = photo(name)
    answer = answer_of(deed)
    tell(label, answer if answer != "None" else "done")
    changed = [] if answer == "None" else differences(before, photo(name))
    if changed:
        tell(f"{label} changed", changed)


def refused():
    """A copy-up that would lose an attribute."""
    for name, kind, word in objects():
        tried(f"{kind} {word}", lambda name=name, word=word: DEEDS[word](name), name)


def kept():
    """What there is, before and after a remount."""
    for path, what in photo().items():
        tell(path, path and (oct(what[0]), what[1:3], len(what[3]), what[-1] and what[-1][:2]))


class Ballast:
    """Takes every inode of the disk, below the mount."""

    def __init__(self):
        self.place, self.count = "../../ballast", 0
        os.mkdir(self.place)

    def fill(self):
        try:
            while True:
                os.close(os.open(f"{self.place}/{self.count}", os.O_CREAT | os.O_WRONLY))
                self.count += 1
        except OSError:
            pass

    def clear(self):
        for name in os.listdir(self.place):
            os.unlink(f"{self.place}/{name}")
        os.rmdir(self.place)


def inodes():
    """Each change with no inode left. What needs none is done."""
    ballast = Ballast()
    for name, kind, _ in objects():
        made(f"new-{name}", kind)
    os.mkdir("new-empty")
    os.unlink("small")
    write_file("small", b"small")
    makers = {
        "create": lambda: write_file("made", b"made"),
        "mkdir": lambda: os.mkdir("made"),
        "symlink": lambda: os.symlink("target", "made"),
        "fifo": lambda: os.mkfifo("made"),
        "device": lambda: os.mknod("made", 0o600 | stat.S_IFCHR, os.makedev(1, 3)),
    }
    ballast.fill()
    for word, deed in makers.items():
        tried(word, deed, "made")
    for prefix in ("", "new-"):
        for name, kind, word in objects():
            tried(f"{prefix}{kind} {word}", lambda: DEEDS[word](prefix + name), prefix + name)
            ballast.fill()
    tried("remove what is empty", lambda: os.rmdir("new-empty"), "new-empty")
    ballast.clear()
    for word, deed in makers.items():
        tried(f"{word} with room again", deed, "made")
        (os.rmdir if word == "mkdir" else os.unlink)("made")


run(lower, {"refused": refused, "kept": kept, "inodes": inodes})
