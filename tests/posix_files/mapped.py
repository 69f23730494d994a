"""Mappings, running programs, O_DIRECT and O_APPEND."""

import ctypes
import mmap
import os
import shutil
import subprocess

from calls import LIBC, answer_of, in_child, link_proc, read_file, run, say, tell, until, write_file

PAGE = mmap.PAGESIZE
PAGES = bytes(range(256)) * (PAGE // 256) * 4


def lower():
    os.mkdir("dir")
    for name in ("shared", "private", "both", "short", "cut", "synced", "dropped", "direct", "append", "exec", "odd"):
        write_file(f"dir/{name}", PAGES)
    write_file("dir/odd", PAGES[:PAGE + 100])
    for name in ("program", "copied", "replaced", "busy", "emptied", "script"):
        shutil.copy("/bin/sleep", f"dir/{name}")
    shutil.copy(loader(), "dir/loader")
    write_file("dir/script", b"#!/bin/sh\nread line\n", 0o755)


def loader():
    """The interpreter of this machine's programs."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return next(line.split()[-1] for line in maps if "/ld-" in line or "/ld." in line)


def each(*names):
    """Lower files, and for each a file like it that only the upper has."""
    for name in names:
        write_file(f"dir/{name}-new", read_file(f"dir/{name}"))
    return [f"dir/{name}{origin}" for name in names for origin in ("", "-new")]


def mapping(fd, how=mmap.MAP_SHARED, access=mmap.PROT_READ, length=len(PAGES)):
    return mmap.mmap(fd, length, how, access)


def shared():
    """Mappings of before the copy-up, and one of after it, of readers and writers."""
    for name in each("shared"):
        fd = os.open(name, os.O_RDONLY)
        early = mapping(fd)
        tell(f"{name} early", early[:4])
        writer = os.open(name, os.O_RDWR)
        late = mapping(writer, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        os.pwrite(writer, b"WRIT", 0)
        say(f"{name} both see a write", lambda: (early[:4], late[:4]))
        late[PAGE:PAGE + 6] = b"STORED"
        say(f"{name} a store", lambda: (early[PAGE:PAGE + 6], os.pread(fd, 6, PAGE), os.pread(writer, 6, PAGE)))
        say(f"{name} another process reads it", lambda: in_child(lambda: read_file(name)[PAGE:PAGE + 6]))
        say(f"{name} msync", lambda: late.flush())
        os.pwrite(writer, b"again", PAGE)
        say(f"{name} a write after it", lambda: (early[PAGE:PAGE + 6], late[PAGE:PAGE + 6]))
        os.close(writer)
        late[0:5] = b"after"
        say(f"{name} stored after close", lambda: os.pread(fd, 5, 0))
        late.close()
        say(f"{name} kept after unmap", lambda: read_file(name)[:5])
        os.rename(name, f"{name}-moved")
        os.unlink(f"{name}-moved")
        say(f"{name} early at last", lambda: early[:5])


def dropped():
    """What was written after the copy-up is read by those of before it, where memory holds nothing of the file any more."""
    for name in each("dropped"):
        fd = os.open(name, os.O_RDONLY)
        early = mapping(fd)
        writer = os.open(name, os.O_RDWR)
        os.pwrite(writer, b"WRIT", 0)
        os.pwrite(writer, b"more", 2 * PAGE)
        os.fsync(writer)
        for held in (fd, writer):
            os.posix_fadvise(held, 0, 0, os.POSIX_FADV_DONTNEED)
        say(f"{name} mapped", lambda: (early[:6], early[PAGE:PAGE + 4], early[2 * PAGE:2 * PAGE + 6]))
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        say(f"{name} read", lambda: (os.pread(fd, 6, 0), os.pread(fd, 6, 2 * PAGE)))


def private():
    for name in each("private"):
        fd = os.open(name, os.O_RDONLY)
        own = mapping(fd, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        own[0:4] = b"mine"
        os.close(os.open(name, os.O_RDWR))
        say(f"{name} own", lambda: own[:4])
        say(f"{name} file", lambda: os.pread(fd, 4, 0))
        say(f"{name} shared for writing", lambda: mapping(fd, mmap.MAP_SHARED, mmap.PROT_WRITE))
        other = os.open(name, os.O_WRONLY)
        say(f"{name} of a writer that can't read", lambda: mapping(other, mmap.MAP_SHARED, mmap.PROT_READ))
        os.pwrite(other, b"theirs", PAGE)
        # Whether pages that were not touched follow the file is left open by POSIX; the touched one stays.
        say(f"{name} own still", lambda: own[:4])


def past_the_end():
    """A page beyond the end of the file is SIGBUS, and the rest of the last page is zeros."""
    for name in each("short", "cut"):
        fd = os.open(name, os.O_RDWR)
        whole = mapping(fd, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        reader = mapping(os.open(name, os.O_RDONLY))
        os.ftruncate(fd, PAGE + 10)
        say(f"{name} within", lambda: whole[PAGE:PAGE + 12])
        tell(f"{name} beyond", in_child(lambda: whole[2 * PAGE]))
        tell(f"{name} beyond by a reader", in_child(lambda: reader[3 * PAGE]))
        tell(f"{name} store beyond", in_child(lambda: whole.__setitem__(2 * PAGE, 1)))
        os.ftruncate(fd, 3 * PAGE)
        say(f"{name} grown", lambda: (whole[2 * PAGE], reader[2 * PAGE], whole[PAGE + 10]))
        os.truncate(name, 0)
        tell(f"{name} of nothing", in_child(lambda: whole[0]))
        os.close(fd)


def synced():
    """What msync(MS_SYNC) wrote is read by others, also where the mapping's descriptor is closed."""
    for name in each("synced"):
        fd = os.open(name, os.O_RDWR)
        stores = mapping(fd, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        os.close(fd)
        before = os.stat(name).st_mtime_ns
        stores[100:106] = b"stored"
        address = ctypes.addressof(ctypes.c_char.from_buffer(stores))
        for word, flags in (("MS_ASYNC", 1), ("MS_INVALIDATE", 2), ("MS_SYNC", 4)):
            say(f"{name} {word}", lambda: LIBC.msync(ctypes.c_void_p(address), ctypes.c_size_t(PAGE), flags))
        say(f"{name} read", lambda: read_file(name)[100:106])
        say(f"{name} is newer", lambda: os.stat(name).st_mtime_ns > before)


def refused(label, path):
    for word, flags in (("write", os.O_WRONLY), ("read and write", os.O_RDWR), ("append", os.O_WRONLY | os.O_APPEND),
                        ("write and empty", os.O_WRONLY | os.O_TRUNC)):
        say(f"{label} {word}", lambda: os.close(os.open(path, flags)))
    say(f"{label} truncate", lambda: os.truncate(path, 1))
    say(f"{label} read", lambda: os.close(os.open(path, os.O_RDONLY)))
    say(f"{label} chmod", lambda: os.chmod(path, 0o755))
    say(f"{label} whole", lambda: os.stat(path).st_size == os.stat("/bin/sleep").st_size)


def refused_empty(label, path):
    """Emptying by who only reads, of which POSIX says nothing, and the kernel that it is a write."""
    say(f"{label} read and empty", lambda: os.close(os.open(path, os.O_RDONLY | os.O_TRUNC)))
    say(f"{label} whole", lambda: os.stat(path).st_size == os.stat("/bin/sleep").st_size)


def emptied_while_running():
    """By each name of a program, and as soon as it has ended. A script's file is let go when its interpreter runs."""
    for name in each("program", "copied"):
        os.chmod(name, 0o755)
        if name.endswith("copied"):
            os.utime(name, ns=(1, 1))
        program = subprocess.Popen([os.path.abspath(name), "30"], stdout=subprocess.DEVNULL)
        refused_empty(f"{name} runs", name)
        os.link(name, f"{name}-link")
        refused_empty(f"{name} linked", f"{name}-link")
        os.rename(name, f"{name}-moved")
        refused_empty(f"{name} renamed", f"{name}-moved")
        other = subprocess.Popen([os.path.abspath(f"{name}-link"), "30"], stdout=subprocess.DEVNULL)
        program.kill()
        tell(f"{name} ran", program.wait())
        refused_empty(f"{name} runs by its other name", f"{name}-moved")
        os.unlink(f"{name}-link")
        refused_empty(f"{name} unlinked by that", f"{name}-moved")
        other.kill()
        other.wait()
        say(f"{name} ended", lambda: os.close(os.open(f"{name}-moved", os.O_RDONLY | os.O_TRUNC)))
        say(f"{name} empty", lambda: os.stat(f"{name}-moved").st_size)
    for turn in range(20):
        write_file(f"dir/short-{turn}", read_file("/bin/true"), 0o755)
        subprocess.run([os.path.abspath(f"dir/short-{turn}")], check=False)
        say(f"short {turn}", lambda: os.close(os.open(f"dir/short-{turn}", os.O_RDONLY | os.O_TRUNC)))
    for name in each("script"):
        os.chmod(name, 0o755)
        script = subprocess.Popen([os.path.abspath(name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        until(lambda: os.readlink(f"/proc/{script.pid}/exe") == os.path.realpath("/bin/sh"), "the script runs")
        say(f"{name} runs", lambda: os.close(os.open(name, os.O_RDONLY | os.O_TRUNC)))
        script.communicate(b"\n")
        tell(f"{name} ran", script.returncode)
    # What a program's interpreter is to others is a program here.
    for name in each("loader"):
        os.chmod(name, 0o755)
        program = subprocess.Popen([os.path.abspath(name), "/bin/sleep", "30"], stdout=subprocess.DEVNULL)
        say(f"{name} run as a program", lambda: os.close(os.open(name, os.O_RDONLY | os.O_TRUNC)))
        program.kill()
        program.wait()


def running():
    """A program that runs is not written (ETXTBSY), and one that is written is not run."""
    for name in ("program", "copied"):
        path = f"dir/{name}"
        if name == "copied":
            os.utime(path, ns=(1, 1))
        program = subprocess.Popen([os.path.abspath(path), "100"])
        refused(f"{name} runs", path)
        os.rename(path, f"{path}-moved")
        refused(f"{name} renamed", f"{path}-moved")
        shutil.copy("/bin/true", path)
        refused(f"{name} replaced", f"{path}-moved")
        program.kill()
        tell(f"{name} ran", program.wait())
        say(f"{name} ended", lambda: os.close(os.open(f"{path}-moved", os.O_RDWR)))
    for name in each("busy", "script"):
        os.chmod(name, 0o755)
        writer = os.open(name, os.O_WRONLY)
        run_it = lambda: subprocess.run([os.path.abspath(name), "0"], stdin=subprocess.DEVNULL, check=False).returncode
        say(f"{name} written", run_it)
        os.close(writer)
        say(f"{name} closed", run_it)
    reader = os.open("dir/busy", os.O_RDONLY)
    say("read and run", lambda: subprocess.run([os.path.abspath("dir/busy"), "0"], check=False).returncode)
    os.close(reader)


class Aligned:
    """Memory that O_DIRECT takes."""

    def __init__(self, length):
        self.memory = mmap.mmap(-1, length + PAGE)
        self.view = memoryview(self.memory)


def direct():
    """O_DIRECT by both sizes, and beside descriptors that are cached."""
    for name in each("direct"):
        cached = os.open(name, os.O_RDWR)
        say(f"{name} cached", lambda: os.pread(cached, 4, PAGE))
        fd = os.open(name, os.O_RDWR | os.O_DIRECT)
        room = Aligned(4 * PAGE).view
        for length, at in ((PAGE, 0), (2 * PAGE, PAGE), (4 * PAGE, 2 * PAGE), (PAGE, 4 * PAGE), (PAGE, 16 * PAGE)):
            say(f"{name} read {length} at {at}", lambda: (os.preadv(fd, [room[:length]], at), bytes(room[:3])))
        room[:PAGE] = b"D" * PAGE
        say(f"{name} write", lambda: os.pwritev(fd, [room[:PAGE]], PAGE))
        say(f"{name} seen by the cached", lambda: os.pread(cached, 4, PAGE))
        say(f"{name} seen by a mapping", lambda: mapping(cached)[PAGE:PAGE + 4])
        os.pwrite(cached, b"CACHED", 2 * PAGE)
        say(f"{name} sees the cached", lambda: (os.preadv(fd, [room[:PAGE]], 2 * PAGE), bytes(room[:6])))
        stores = mapping(cached, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        stores[3 * PAGE:3 * PAGE + 6] = b"MAPPED"
        say(f"{name} sees a store", lambda: (os.preadv(fd, [room[:PAGE]], 3 * PAGE), bytes(room[:6])))
        room[:2 * PAGE] = b"E" * (2 * PAGE)
        say(f"{name} write beyond", lambda: os.pwritev(fd, [room[:2 * PAGE]], 6 * PAGE))
        say(f"{name} size", lambda: os.fstat(fd).st_size)
        say(f"{name} between", lambda: os.pread(cached, 8, 5 * PAGE))
        say(f"{name} fsync", lambda: os.fsync(fd))
    say("made", lambda: os.close(os.open("dir/direct-made", os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o644)))


def direct_odd():
    """Sizes and places that a disk refuses or takes: either is right, and what is taken is whole."""
    for name in each("odd"):
        fd = os.open(name, os.O_RDWR | os.O_DIRECT)
        room = Aligned(4 * PAGE).view
        for length, at in ((100, 0), (PAGE, 100), (513, 512), (4 * PAGE, 0), (PAGE, PAGE), (7, PAGE + 99)):
            before = read_file(name)
            answer = answer_of(lambda: os.preadv(fd, [room[:length]], at))
            right = answer in ("EINVAL", repr(len(before[at:at + length]))) and (
                answer == "EINVAL" or bytes(room[:int(answer)]) == before[at:at + int(answer)])
            tell(f"{name} read {length} at {at}", right or answer)
            room[:length] = b"w" * length
            answer = answer_of(lambda: os.pwritev(fd, [room[:length]], at))
            wrote = int(answer) if answer != "EINVAL" else 0
            expected = before[:at].ljust(at if wrote else 0, b"\0") + b"w" * wrote + before[at + wrote:]
            tell(f"{name} write {length} at {at}", wrote in (0, length) and read_file(name) == expected)


def append():
    """Processes that append to one file, by descriptors of before and after its copy-up: no line is lost or torn."""
    for name in each("append"):
        os.truncate(name, 0) if name.endswith("new") else None
        writers, lines = 6, 200
        start = os.stat(name).st_size
        children = []
        for number in range(writers):
            pid = os.fork()
            if pid == 0:
                for line in range(lines):
                    # Every few lines anew, so that some open it while it is copied up and others hold it open.
                    if line % 20 == 0:
                        fd = os.open(name, os.O_WRONLY | os.O_APPEND)
                    os.write(fd, f"{number} {line} {'x' * (line % 90)}\n".encode())
                os._exit(0)
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
        found = read_file(name)[start:].decode().splitlines()
        expected = {f"{n} {line} {'x' * (line % 90)}" for n in range(writers) for line in range(lines)}
        tell(f"{name} lines", len(found))
        tell(f"{name} each once", set(found) == expected)
        order = all([int(l.split()[1]) for l in found if l.startswith(f"{n} ")] == list(range(lines)) for n in range(writers))
        tell(f"{name} in order", order)
        fd = os.open(name, os.O_RDWR | os.O_APPEND)
        say(f"{name} pwrite appends", lambda: os.pwrite(fd, b"end", 0))
        say(f"{name} end", lambda: read_file(name)[-3:])
        say(f"{name} position", lambda: os.lseek(fd, 0, os.SEEK_CUR))


def nameless():
    """Files that are made without a name: what may be done with them, and how one gets a name."""
    shown = lambda fd: (os.fstat(fd).st_nlink, os.fstat(fd).st_size, oct(os.fstat(fd).st_mode), os.fstat(fd).st_gid)
    os.mkdir("dir/grouped")
    os.chown("dir/grouped", -1, 77)
    os.chmod("dir/grouped", 0o2775)
    for place in ("dir", "dir/grouped", "."):
        fd = os.open(place, os.O_TMPFILE | os.O_RDWR, 0o666)
        tell(f"{place} made", shown(fd))
        tell(f"{place} written", os.pwrite(fd, b"nameless", 0))
        memory = mapping(fd, length=8)
        tell(f"{place} mapped", memory[:8])
        say(f"{place} attribute", lambda: os.setxattr(fd, "user.x", b"y"))
        say(f"{place} mode", lambda: os.fchmod(fd, 0o640))
        tell(f"{place} again", in_child(lambda: read_file(f"/proc/self/fd/{fd}")))
        say(f"{place} named", lambda: link_proc(fd, f"{place}/named"))
        tell(f"{place} shown", shown(fd))
        say(f"{place} named twice", lambda: link_proc(fd, f"{place}/twice"))
        say(f"{place} over a name", lambda: link_proc(fd, f"{place}/twice"))
        tell(f"{place} shown", (shown(fd), os.stat(f"{place}/named").st_ino == os.fstat(fd).st_ino))
        os.unlink(f"{place}/named")
        os.unlink(f"{place}/twice")
        tell(f"{place} without names", (shown(fd), memory[:8]))
        say(f"{place} named at last", lambda: link_proc(fd, f"{place}/last"))
        memory.close()
        os.close(fd)
    fd = os.open("dir", os.O_TMPFILE | os.O_WRONLY | os.O_EXCL, 0o600)
    tell("exclusive", os.write(fd, b"x"))
    say("exclusive named", lambda: link_proc(fd, "dir/exclusive"))
    kept = os.open("dir", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(kept, b"kept")
    say("linked over a removed lower name", lambda: (os.unlink("dir/odd"), link_proc(kept, "dir/odd")))
    say("moved", lambda: os.rename("dir/odd", "dir/moved"))
    os.close(kept)
    tell("kept", read_file("dir/moved"))
    say("of a file", lambda: os.open("dir/moved", os.O_TMPFILE | os.O_RDWR, 0o600))
    gone = os.open("dir/grouped", os.O_RDONLY)
    os.rmdir("dir/grouped")
    say("of a removed directory", lambda: os.open(f"/proc/self/fd/{gone}", os.O_TMPFILE | os.O_RDWR, 0o600))
    tell("names", sorted(os.listdir("dir")))


run(lower, {name: globals()[name] for name in ("shared", "private", "past_the_end", "synced", "dropped", "running",
                                               "emptied_while_running", "direct", "direct_odd", "append", "nameless")})
