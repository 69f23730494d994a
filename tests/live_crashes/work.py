"""work.py: what programs do that mean it, on a tree that may go away at any moment.

    work.py lower DIR             makes the tree that all of it begins with
    work.py work MNT ACK SEED     does one step after the other, in an order that the seed gives, and adds a line to ACK after each
                                  that was answered; ends when the tree answers no more
    work.py seen MNT ACK          says what is not as it must be: what was acknowledged is there, all else old or new

Every step syncs what it did as a careful program does: the file, and the directory of a name that came or went.
"""

import os
import random
import sqlite3
import subprocess
import sys

COPIED, GONE, MOVED = 40, 400, 400
LINES = 500


def body(number):
    return (f"{number:08d} and what follows it to the end of its line\n" * LINES).encode()


def make_lower(place):
    for name in ["copied", "gone", "moved", "new", "db", "log", "git"]:
        os.makedirs(f"{place}/{name}")
    for number in range(COPIED):
        write(f"{place}/copied/{number}", body(number))
    for number in range(GONE):
        write(f"{place}/gone/{number}", b"here")
    for number in range(MOVED):
        os.mkdir(f"{place}/moved/{number}")
        write(f"{place}/moved/{number}/in", str(number).encode())
    write(f"{place}/new/current", body(0))
    write(f"{place}/log/lines", b"0\n")
    db = sqlite3.connect(f"{place}/db/db")
    db.execute("create table t(n integer primary key, text)")
    db.commit()


def write(path, contents):
    with open(path, "wb") as file:
        file.write(contents)


def synced(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def step_append(mnt, n):
    with open(f"{mnt}/log/lines", "ab") as file:
        file.write(f"{n}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def step_copy(mnt, n):
    with open(f"{mnt}/copied/{n % COPIED}", "r+b") as file:
        file.write(f"{n:08d}".encode())
        file.flush()
        os.fsync(file.fileno())


def step_rename(mnt, n):
    with open(f"{mnt}/new/{n}", "wb") as file:
        file.write(body(n))
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{mnt}/new/{n}", f"{mnt}/new/current")
    synced(f"{mnt}/new")


def step_unlink(mnt, n):
    os.unlink(f"{mnt}/gone/{n % GONE}")
    synced(f"{mnt}/gone")


def step_move(mnt, n):
    os.rename(f"{mnt}/moved/{n % MOVED}", f"{mnt}/new/moved-{n % MOVED}")
    synced(f"{mnt}/moved")
    synced(f"{mnt}/new")


def step_sql(mnt, n):
    db = sqlite3.connect(f"{mnt}/db/db")
    try:
        db.execute("pragma journal_mode=wal")
        db.execute("pragma synchronous=full")
        db.execute("insert into t values(?, ?)", (n, str(n) * 100))
        db.commit()
    finally:
        db.close()


def step_git(mnt, n):
    at = f"{mnt}/git/{n}"
    config = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.fsync=all", "-c", "gc.auto=0"]
    os.mkdir(at)
    write(f"{at}/file", body(n))
    for words in [["init", "-q"], ["add", "."], ["commit", "-qm", str(n)]]:
        done = subprocess.run(["git", *config, "-C", at, *words], capture_output=True, check=False)
        if done.returncode != 0:
            raise OSError(done.stderr)
    # git syncs neither directories nor what it works on.
    for path, _, names in os.walk(at):
        for name in names:
            synced(f"{path}/{name}")
        synced(path)
    synced(f"{mnt}/git")


STEPS = [step_append, step_copy, step_rename, step_unlink, step_move, step_sql]


def work(mnt, ack, seed):
    chance = random.Random(seed)
    with open(ack, "a", buffering=1) as acknowledged:
        for n in range(1, GONE):
            steps = STEPS + ([step_git] if n % 12 == 3 else [])
            for step in chance.sample(steps, len(steps)):
                try:
                    step(mnt, n)
                except (OSError, sqlite3.Error) as error:
                    print(f"{step.__name__} {n}: {error}", file=sys.stderr)
                    return
                acknowledged.write(f"{step.__name__} {n}\n")


def seen(mnt, ack):
    last, done = {}, set()
    for line in open(ack).read().splitlines():
        name, n = line.split()
        last[name] = int(n)
        done.add((name, int(n)))
    wrong = []

    def expect(holds, what):
        try:
            if not (holds() if callable(holds) else holds):
                wrong.append(what)
        except OSError as error:
            wrong.append(f"{what}: {error}")

    lines = open(f"{mnt}/log/lines", "rb").read()
    told = lines.split(b"\n")
    expect(lines.endswith(b"\n"), "the log ends in half a line")
    for n in range(last.get("step_append", 0) + 1):
        expect(str(n).encode() in told[n:n + 1], f"line {n} of the log")
    for number in range(COPIED):
        contents = open(f"{mnt}/copied/{number}", "rb").read()
        first = [n for step, n in done if step == "step_copy" and n % COPIED == number]
        expect(contents[8:] == body(number)[8:], f"copied/{number} is half a copy")
        expect(contents[:8].isdigit() and int(contents[:8]) >= max(first, default=number), f"copied/{number}: {contents[:8]}")
    current = open(f"{mnt}/new/current", "rb").read()
    expect(current[:8].isdigit() and current == body(int(current[:8])), "new/current is not whole")
    expect(current[:8].isdigit() and int(current[:8]) >= last.get("step_rename", 0), f"new/current is old: {current[:8]}")
    gone = set(os.listdir(f"{mnt}/gone"))
    for number in range(GONE):
        path = f"{mnt}/gone/{number}"
        expect(lambda path=path, number=number: str(number) not in gone or open(path, "rb").read() == b"here", f"gone/{number} is damaged")
        expect(("step_unlink", number) not in done or str(number) not in gone, f"gone/{number} is there again")
    old, new = set(os.listdir(f"{mnt}/moved")), set(os.listdir(f"{mnt}/new"))
    for number in range(MOVED):
        is_old, is_new = str(number) in old, f"moved-{number}" in new
        expect(is_old != is_new, f"moved/{number} is in {is_old + is_new} places")
        at = f"{mnt}/moved/{number}" if is_old else f"{mnt}/new/moved-{number}"
        expect(lambda at=at, number=number: os.listdir(at) == ["in"] and open(f"{at}/in", "rb").read() == str(number).encode(), f"{at} is half")
        expect(is_new or ("step_move", number) not in done, f"moved/{number} is back")
    rows = {}
    try:
        db = sqlite3.connect(f"{mnt}/db/db")
        expect(db.execute("pragma integrity_check").fetchall() == [("ok",)], "the database is damaged")
        rows = dict(db.execute("select * from t"))
        db.close()
    except sqlite3.Error as error:
        wrong.append(f"the database: {error}")
    for step, n in done:
        if step == "step_sql":
            expect(rows.get(n) == str(n) * 100, f"row {n} of the database")
        if step == "step_git":
            at = f"{mnt}/git/{n}"
            fsck = subprocess.run(["git", "-C", at, "fsck", "--strict"], capture_output=True, check=False)
            expect(fsck.returncode == 0, f"git {n}: {fsck.stderr}")
            expect(lambda at=at, n=n: open(f"{at}/file", "rb").read() == body(n), f"git {n}")
    for line in wrong[:20]:
        print(line)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["lower", place]:
            make_lower(place)
        case ["work", mnt, ack, seed]:
            work(mnt, ack, seed)
        case ["seen", mnt, ack]:
            seen(mnt, ack)
