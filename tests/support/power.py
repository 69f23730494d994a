"""power.py: for each line that names a mount says `ready`, at the next line stops that file system as a power cut does,
and says `cut`.

FS_IOC_SHUTDOWN with NOLOGFLUSH: nothing that is not on disk gets there any more, the journal's tail included.
"""

import fcntl
import os
import struct
import sys

FS_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2

for line in iter(sys.stdin.readline, ""):
    place = os.open(line.rstrip("\n"), os.O_RDONLY | os.O_DIRECTORY)
    print("ready", flush=True)
    sys.stdin.readline()
    fcntl.ioctl(place, FS_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
    os.close(place)
    print("cut", flush=True)
