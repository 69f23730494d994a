"""measure.py FILE COMMAND...: runs the command, and writes its peak memory in KiB and its processor time to FILE.

Its address space is bounded, so that a bound that does not hold ends the command and not the machine.
"""

import os
import resource
import sys

pid = os.fork()
if pid == 0:
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    os.execv(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(pid, 0)
with open(sys.argv[1], "w") as figures:
    print(usage.ru_maxrss, usage.ru_utime + usage.ru_stime, file=figures)
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
