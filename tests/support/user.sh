# user.sh WHO DIR PROGRAM [WORD...]: runs a program in DIR, which belongs to it, as a user who is not root. Started as
# root in mount and process namespaces of its own, with the binaries to use in LAYERFS and TEST.
# WHO is `user`, or the root of a user namespace below that user: `one` with one id, `many` with subordinate ids too;
# `mountless` is `one` without a mount namespace of its own.
set -eu
id=54321 name=layerfs-test first=300000 count=65536
who=$1 dir=$2
shift 2
mount -t tmpfs -o mode=755 none /mnt
# The device may be root's alone here.
mknod -m 666 /mnt/fuse c 10 229
mount --bind /mnt/fuse /dev/fuse
if [ -e /dev/net/tun ]; then
    mknod -m 666 /mnt/tun c 10 200
    mount --bind /mnt/tun /dev/net/tun
fi
for list in passwd group subuid subgid fuse.conf; do
    cat "/etc/$list" >"/mnt/$list" 2>/dev/null || touch "/mnt/$list" "/etc/$list"
done
echo "$name:x:$id:$id::$dir:/bin/sh" >>/mnt/passwd
echo "$name:x:$id:" >>/mnt/group
echo "$name:$first:$count" | tee -a /mnt/subuid >>/mnt/subgid
[ -z "${USER_ALLOW_OTHER-}" ] || echo user_allow_other >>/mnt/fuse.conf
for list in passwd group subuid subgid fuse.conf; do mount --bind "/mnt/$list" "/etc/$list"; done
# crun refuses the mixed hierarchy unless version 2 is out of its sight.
if [ -n "${IN_GROUP-}" ]; then
    echo $$ >"$IN_GROUP/cgroup.procs"
elif mountpoint -q /sys/fs/cgroup/unified; then
    mount -t tmpfs none /sys/fs/cgroup/unified
fi
# Neither has to lie where a user may go.
mkdir /mnt/bin
for program in layerfs:"$LAYERFS" test:"$TEST"; do
    touch "/mnt/bin/${program%%:*}"
    mount --bind "${program#*:}" "/mnt/bin/${program%%:*}"
done
# What programs leave there goes with the namespace.
case $dir in /tmp/*) ;; *) mount -t tmpfs -o mode=1777 none /tmp ;; esac
export HOME="$dir" XDG_DATA_HOME="$dir/share" XDG_RUNTIME_DIR="$dir/run" PATH="/mnt/bin:$PATH:/usr/sbin:/sbin"
unset LAYERFS TEST USER_ALLOW_OTHER IN_GROUP
as_user=(setpriv --reuid "$id" --regid "$id" --clear-groups --inh-caps=-all)
"${as_user[@]}" mkdir -p -m 700 "$XDG_RUNTIME_DIR"
cd "$dir"
case $who in
    user) exec "${as_user[@]}" "$@" ;;
    one) exec "${as_user[@]}" unshare -Urm "$@" ;;
    mountless) exec "${as_user[@]}" unshare -Ur "$@" ;;
    many)
        mkfifo -m 666 /mnt/made /mnt/mapped
        # shellcheck disable=SC2016
        "${as_user[@]}" unshare -Um bash -c 'echo >/mnt/made; read -r _ </mnt/mapped; exec setpriv --reuid 0 --regid 0 --clear-groups "$@"' - "$@" &
        child=$!
        read -r _ </mnt/made
        for map in newuidmap newgidmap; do
            "${as_user[@]}" "$map" "$child" 0 "$id" 1 1 "$first" "$count"
        done
        echo >/mnt/mapped
        wait "$child"
        ;;
esac
