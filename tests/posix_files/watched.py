"""What those who watch or follow a file see when it is copied up."""

import os
import subprocess

from calls import Watch, lines_of, run, say, started, tell, write_file

ONCE, INODE_WORDS = b"first\nsecond\n", ("modify", "attrib", "delete_self", "move_self", "close_write")


def lower():
    os.mkdir("dir")
    for name in ("log", "moved", "gone", "over", "linked"):
        write_file(f"dir/{name}", ONCE)
    os.link("dir/linked", "dir/other")
    write_file("dir/large", b"large" * 200_000)


def follow(words, write):
    """What `tail` prints of a file that is appended to after it began, and has to be copied up for that."""
    tail = started(["tail", "-s", "0.05", "--max-unchanged-stats=1", "-n", "+1", *words, "dir/log"])
    said = lines_of(tail.stdout, 2)
    write()
    said += lines_of(tail.stdout, 2)
    tail.kill()
    tail.wait()
    tell(" ".join(words), said)


def appended():
    with open("dir/log", "ab", buffering=0) as log:
        log.write(b"third\n")
        log.write(b"fourth\n")


def appended_by_shell():
    subprocess.run(["sh", "-c", "echo third >>dir/log; echo fourth >>dir/log"], check=True)


def polled():
    follow(["---disable-inotify", "-f"], appended)


def notified():
    follow(["-f"], appended_by_shell)


def followed_by_name():
    follow(["-F"], appended_by_shell)


def rotated():
    """`tail -F` of a log that is renamed and made anew."""
    tail = started(["tail", "-s", "0.05", "--max-unchanged-stats=1", "-n", "+1", "-F", "dir/log"])
    said = lines_of(tail.stdout, 2)
    os.rename("dir/log", "dir/log.1")
    write_file("dir/log", b"new\n")
    said += lines_of(tail.stdout, 1)
    tail.kill()
    tail.wait()
    tell("rotated", said)


def watched():
    """Events of watches that were set on lower files, and on their directory, while these are changed."""
    watch = Watch()
    watch.add("dir")
    for name in ("log", "moved", "gone", "over", "linked", "large"):
        watch.add(f"dir/{name}")
    step = lambda label: tell(label, watch.events())
    step("set")
    os.close(os.open("dir/log", os.O_RDONLY))
    step("read")
    os.chmod("dir/log", 0o600)
    step("chmod")
    os.chmod("dir/log", 0o640)
    step("chmod again")
    fd = os.open("dir/moved", os.O_RDWR)
    step("opened for writing")
    os.pwrite(fd, b"x", 0)
    step("written")
    os.close(fd)
    step("closed")
    os.setxattr("dir/large", "user.word", b"value")
    step("attribute")
    os.utime("dir/large", ns=(1, 1))
    step("times")
    os.truncate("dir/large", 10)
    step("truncated")
    os.rename("dir/moved", "dir/moved-on")
    step("renamed")
    os.rename("dir/log", "dir/over")
    step("renamed over")
    os.link("dir/gone", "dir/gone-too")
    step("linked")
    os.unlink("dir/gone")
    step("unlinked")
    os.unlink("dir/gone-too")
    step("unlinked the last")
    with open("dir/other", "ab") as other:
        other.write(b"by its other name")
    step("written by another name")
    write_file("dir/new", b"new")
    step("made")
    os.mkdir("dir/sub")
    os.rmdir("dir/sub")
    step("made and removed a directory")
    os.rename("dir", "dir-moved")
    step("renamed the directory")


run(lower, {name: globals()[name] for name in ("polled", "notified", "followed_by_name", "rotated", "watched")})
