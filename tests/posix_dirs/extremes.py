"""Names of 255 bytes, paths longer than PATH_MAX by steps, and a hundred thousand entries."""

import os
import subprocess

from calls import read_file, run, say, tell, write_file

LONGEST = "n" * 255
DEEP = 24


def down(depth, deed):
    """Does something in a directory that deep, whose path no call could take at once."""
    home = os.open(".", os.O_RDONLY)
    try:
        for _ in range(depth):
            os.chdir(LONGEST)
        return deed()
    finally:
        os.fchdir(home)
        os.close(home)


def lower():
    os.mkdir("names")
    write_file(f"names/{LONGEST}", b"longest")
    os.mkdir(f"names/{'d' * 255}")
    os.symlink("s" * 4095, "names/link")
    home = os.open(".", os.O_RDONLY)
    for _ in range(DEEP):
        os.mkdir(LONGEST)
        os.chdir(LONGEST)
    write_file("deepest", b"deepest")
    os.fchdir(home)


def names():
    at = lambda letter, length=255: f"names/{letter * length}"
    say("read", lambda: read_file(at("n")))
    say("copied up", lambda: os.chmod(at("n"), 0o600))
    say("write", lambda: write_file(at("n"), b"written"))
    say("renamed", lambda: os.rename(at("n"), at("m")))
    say("linked", lambda: os.link(at("m"), at("l")))
    say("symlink", lambda: os.symlink("x", at("s")))
    say("long symlink", lambda: os.readlink("names/link") == "s" * 4095)
    say("another", lambda: os.symlink("t" * 4095, "names/another"))
    say("too long", lambda: os.symlink("t" * 4096, "names/more"))
    say("directory", lambda: os.mkdir(at("e")))
    say("directory renamed", lambda: os.rename(at("d"), at("f")))
    say("inside", lambda: write_file(f"{at('f')}/{LONGEST}", b"inside"))
    say("unlinked", lambda: os.unlink(at("l")))
    say("made anew", lambda: write_file(at("n"), b"anew"))
    say("attribute", lambda: os.setxattr(at("n"), f"user.{'a' * 250}", b"value"))
    say("attribute too long", lambda: os.setxattr(at("n"), f"user.{'a' * 251}", b"value"))
    for word, deed in (("create", lambda: write_file(at("x", 256), b"")), ("stat", lambda: os.stat(at("x", 256))),
                       ("rename", lambda: os.rename(at("n"), at("x", 256)))):
        say(f"{word} of 256", deed)
    tell("names", sorted((name[0], len(name)) for name in os.listdir("names")))


def deep():
    # A path of more than 6,000 bytes is reached by steps only.
    say("at once", lambda: os.stat("/".join([LONGEST] * DEEP)))
    say("read", lambda: down(DEEP, lambda: read_file("deepest")))
    say("list", lambda: down(DEEP, lambda: os.listdir(".")))
    say("copied up", lambda: down(DEEP, lambda: os.chmod("deepest", 0o600)))
    say("written", lambda: down(DEEP, lambda: write_file("deepest", b"changed")))
    say("made", lambda: down(DEEP, lambda: write_file("made", b"made")))
    say("linked", lambda: down(DEEP, lambda: os.link("deepest", "linked")))
    say("a step more", lambda: down(DEEP, lambda: os.mkdir(LONGEST)))
    say("in it", lambda: down(DEEP + 1, lambda: write_file("one", b"one")))
    say("up and down", lambda: down(DEEP + 1, lambda: (os.rename("one", "../up"), os.rename("../deepest", "down"))))
    say("attribute", lambda: down(DEEP + 1, lambda: (os.setxattr("down", "user.word", b"v"), os.getxattr("down", "user.word"))))
    say("unlinked", lambda: down(DEEP, lambda: os.unlink("made")))
    say("names", lambda: down(DEEP, lambda: sorted(os.listdir("."))))
    found = subprocess.run(["find", ".", "-type", "f"], capture_output=True, check=False)
    tell("found", (found.returncode, found.stdout.count(b"\n"), found.stderr))
    tell("removed", subprocess.run(["rm", "-r", LONGEST], capture_output=True, check=False).returncode)
    say("gone", lambda: os.path.exists(LONGEST))


run(lower, {"names": names, "deep": deep})
