# What a container finds around itself, a line for each thing; the same from whoever made the container.
export LC_ALL=C
grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):' /proc/self/status | tr '\t' ' '
echo "umask $(umask)"
echo "oom $(cat /proc/self/oom_score_adj)"
awk '{ d = 7; while ($d != "-") d++; print "mount", $5, $6, $(d+1) }' /proc/self/mountinfo | sort
awk '{ shared = ""; d = 7; while ($d != "-") { shared = shared " " $d; d++ } if (shared != "") print "propagates", $5, shared }' /proc/self/mountinfo
for at in /dev/* /dev/pts/*; do
  if [ -L "$at" ]; then echo "dev $at -> $(readlink "$at")"; else echo "dev $at $(stat -c '%F %a %u:%g %t:%T' "$at")"; fi
done
for at in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi \
  /proc/timer_list /proc/timer_stats /sys/firmware /sys/devices/virtual/powercap /sys/dev/block; do
  if [ ! -e $at ]; then echo "masked $at absent"
  elif [ -d $at ]; then echo "masked $at $(ls $at 2>/dev/null | wc -l | sed 's/[1-9][0-9]*/some/') names"
  else echo "masked $at $(head -c 1 $at 2>&1 | wc -c | sed 's/[1-9][0-9]*/some/') bytes"; fi
done
for at in /proc/bus /proc/fs /proc/irq /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward /proc/sysrq-trigger /sys/kernel/uevent_helper /sys/fs/cgroup; do
  if [ ! -e $at ]; then echo "write $at absent"
  elif [ -d $at ]; then mkdir $at/probe 2>/dev/null && echo "write $at yes" || echo "write $at no"
  else (: >>$at) 2>/dev/null && echo "write $at yes" || echo "write $at no"; fi
done
sed -n 's/  */ /g; 2,$s/^Max/limit/p' /proc/self/limits
for at in memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us cpu/cpu.shares memory.max pids.max cpu.max cpu.weight; do
  [ -e /sys/fs/cgroup/$at ] && echo "group $at $(cat /sys/fs/cgroup/$at)"
done
cat /proc/self/cgroup | sed 's/^[0-9]*:/in /' | sort
