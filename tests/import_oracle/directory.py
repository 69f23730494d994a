"""Makes a directory tree with one of every class of file, and says what lstat and the contents say of a tree.

directory.py make DIR                   fills DIR, which is empty
directory.py same INODE DIR             makes files in DIR until one has that inode number; prints its path
directory.py say DIR [LEFT-OUT...]      prints the entries in the form of oracle.py; of a directory that is left out the
                                        entry stays, of a file nothing; sockets are in no archive
"""

import hashlib
import json
import os
import socket
import stat
import struct
import sys

CAPABILITY = struct.pack("<5I", 0x0200_0001, 0x0000_000A, 0, 0, 0)
NOBODY = 0xFFFF_FFFF


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


ACL = acl((0x01, 6, NOBODY), (0x02, 4, 1000), (0x04, 4, NOBODY), (0x10, 4, NOBODY), (0x20, 4, NOBODY))


def write(path, data=b"", mode=0o644, **xattrs):
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)
    for name, value in xattrs.items():
        os.setxattr(path, name.replace("_", ".", 1), value)


def listen(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)


def make(root):
    os.chdir(root)
    os.mkdir("dir", 0o711)
    os.setxattr("dir", "system.posix_acl_default", ACL)
    os.mkdir("empty")
    os.mkdir(b"latin-\xe9")
    write(b"latin-\xe9/name-\xff", b"not UTF-8\n")
    write("dir/acl", b"guarded\n", system_posix_acl_access=ACL)
    write("dir/capable", b"#!\n", 0o755, security_capability=CAPABILITY)
    write("dir/attributes", b"", user_note=b"line\nlinkpath=/etc/passwd\n\0end", trusted_other=b"\0\xff")
    write("dir/large", bytes(range(256)) * 9000)
    write("file", b"several names\n")
    os.link("file", "dir/hard")
    os.link("file", "hard-too")
    write("owned", b"owned\n", 0o600)
    os.chown("owned", 1000, 4_000_000_000)
    write("set-uid", b"#!\n")
    os.chmod("set-uid", 0o6755)
    with open("sparse", "wb") as file:
        file.seek(5 << 20)
        file.write(b"the end")
        file.truncate(9 << 20)
    os.symlink("file", "symlink")
    os.symlink(b"/away/\xe9", "dir/dangling")
    os.link("symlink", "dir/hard-symlink", follow_symlinks=False)
    os.lchown("symlink", 7, 8)
    os.mkfifo("fifo", 0o620)
    os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod("loop", stat.S_IFBLK | 0o660, os.makedev(7, 300))
    os.link("null", "dir/null-too")
    listen("socket")
    os.link("socket", "dir/socket-too")
    os.utime("symlink", ns=(0, 1_111_111_111_222_222_222), follow_symlinks=False)
    os.utime("file", ns=(0, 123_456_789_987_654_321))
    os.utime("owned", ns=(0, -1_500_000_000))
    os.utime("dir", ns=(0, 1_000_000_000))


def same(inode, place):
    for number in range(4096):
        path = os.path.join(place, f"stranger-{number}")
        write(path, b"of another file system\n")
        if os.lstat(path).st_ino == int(inode):
            os.link(path, path + "-too")
            return print(path)
    sys.exit(f"no file got inode {inode}")


KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char",
         stat.S_IFBLK: "block", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}


def entry_of(path, told):
    kind = KINDS[stat.S_IFMT(told.st_mode)]
    data = open(path, "rb").read() if kind == "file" else b""
    return {
        "kind": kind,
        "mode": stat.S_IMODE(told.st_mode),
        "uid": told.st_uid,
        "gid": told.st_gid,
        "mtime_ns": told.st_mtime_ns,
        "size": len(data),
        "target": os.readlink(path).hex() if kind == "symlink" else "",
        "device": [os.major(told.st_rdev), os.minor(told.st_rdev)] if kind in ("char", "block") else [],
        "xattrs": {os.fsencode(name).hex(): os.getxattr(path, name, follow_symlinks=False).hex()
                   for name in os.listxattr(path, follow_symlinks=False)},
        "sha256": hashlib.sha256(data).hexdigest() if kind == "file" else "",
    }


def say(root, left_out):
    answer, numbers = {}, {}

    def walk(relative):
        path = os.path.join(root, relative) if relative else root
        told = os.lstat(path)
        is_dir = stat.S_ISDIR(told.st_mode)
        if stat.S_ISSOCK(told.st_mode) or (path in left_out and not is_dir):
            return
        entry = entry_of(path, told)
        if not is_dir:
            entry["file"] = numbers.setdefault((told.st_dev, told.st_ino), len(numbers))
        answer[relative.hex()] = entry
        if is_dir and path not in left_out:
            for name in sorted(os.listdir(path)):
                walk(os.path.join(relative, name) if relative else name)

    walk(b"")
    print(json.dumps(answer))


def main(verb, *words):
    if verb == "say":
        say(os.fsencode(words[0]), {os.fsencode(word) for word in words[1:]})
    else:
        {"make": make, "same": same}[verb](*words)


if __name__ == "__main__":
    main(*sys.argv[1:])
