"""Counts the requests that operations cost, at the device of the process that serves a mount.

requests.py PID MOUNT    PID serves MOUNT, which has the directory `many` of the lower, with the files f0, f1 and so on

Prints a line for each operation: its name, a colon, and what one of it costs. What is not waited for, RELEASE and FORGET, is left
out.
"""

import collections
import os
import re
import signal
import subprocess
import sys
import time

TIMES = 20
NAMES = {1: "LOOKUP", 3: "GETATTR", 4: "SETATTR", 5: "READLINK", 6: "SYMLINK", 9: "MKDIR", 10: "UNLINK", 11: "RMDIR", 12: "RENAME",
         13: "LINK", 14: "OPEN", 15: "READ", 16: "WRITE", 20: "FSYNC", 21: "SETXATTR", 22: "GETXATTR", 28: "READDIR", 35: "CREATE",
         44: "READDIRPLUS", 45: "RENAME2"}
NOT_WAITED_FOR = {2, 18, 42}
READ = re.compile(r'read(?:\(\d+,| resumed>) ?"((?:[^"\\]|\\.)*)"')
LIMIT_S = 30


def opcodes(trace):
    """The operation of each request: bytes 4 to 7, all of them escaped."""
    for line in trace:
        found = READ.search(line)
        if found:
            header = bytes(int(byte, 16) for byte in found.group(1).split("\\x")[1:])
            if len(header) >= 40:
                yield int.from_bytes(header[4:8], "little")


def until(holds):
    ends = time.monotonic() + LIMIT_S
    while not holds():
        if time.monotonic() > ends:
            sys.exit("strace did not begin or end")
        time.sleep(0.01)


def is_traced(pid):
    def tracer(task):
        with open(f"/proc/{pid}/task/{task}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("TracerPid"))
    return all(tracer(task) for task in os.listdir(f"/proc/{pid}/task"))


def counted(pid, deed):
    report = "requests.strace"
    strace = subprocess.Popen(["strace", "-f", "-qq", "-xx", "-s", "48", "-e", "trace=read", "-o", report, "-p", str(pid)])
    try:
        until(lambda: is_traced(pid))
        for number in range(TIMES):
            deed(number)
    finally:
        strace.send_signal(signal.SIGINT)
        strace.wait(LIMIT_S)
    with open(report) as trace:
        seen = collections.Counter(opcodes(trace))
    # One or two may be of what was asked before.
    costs = []
    for opcode, times in sorted(seen.items(), key=lambda item: NAMES.get(item[0], "")):
        each = round(times / TIMES)
        if each and opcode not in NOT_WAITED_FOR:
            name = NAMES.get(opcode, f"operation {opcode}")
            costs.append(name if each == 1 else f"{each} {name}")
    return ", ".join(costs) or "none"


def written(path, flags, data):
    file = os.open(path, flags, 0o644)
    os.write(file, data)
    os.close(file)


def read(path):
    file = os.open(path, os.O_RDONLY)
    os.read(file, 4096)
    os.close(file)


def main():
    pid, mount = int(sys.argv[1]), sys.argv[2]
    new, many = f"{mount}/new", f"{mount}/many"
    os.mkdir(new)
    os.stat(f"{many}/f0")
    held = os.open(f"{new}/held", os.O_CREAT | os.O_RDWR, 0o644)
    os.write(held, b"x")
    operations = [
        ("look for a name for the first time", lambda n: os.stat(f"{many}/f{n}")),
        ("look for it again", lambda n: os.stat(f"{many}/f{n}")),
        ("look for a name that is absent, again", lambda n: os.path.exists(f"{many}/absent")),
        ("open, read and close a small lower file", lambda n: read(f"{many}/f{n}")),
        ("the same again", lambda n: read(f"{many}/f{n}")),
        ("make a file, write and close it", lambda n: written(f"{new}/f{n}", os.O_CREAT | os.O_WRONLY, b"x")),
        ("write into an open file of the upper", lambda n: os.pwrite(held, b"x" * 4096, n * 4096)),
        ("read from it", lambda n: os.pread(held, 4096, n * 4096)),
        ("make a directory", lambda n: os.mkdir(f"{new}/d{n}")),
        ("rename a file", lambda n: os.rename(f"{new}/f{n}", f"{new}/g{n}")),
        ("change permissions", lambda n: os.chmod(f"{new}/g{n}", 0o600)),
        ("change the owner of a lower file", lambda n: os.chown(f"{many}/f{n}", 1, 1)),
        ("remove a file of the upper", lambda n: os.unlink(f"{new}/g{n}")),
        ("remove a lower file", lambda n: os.unlink(f"{many}/f{n}")),
        ("remove a directory", lambda n: os.rmdir(f"{new}/d{n}")),
    ]
    for name, deed in operations:
        print(f"{name}: {counted(pid, deed)}", flush=True)


main()
