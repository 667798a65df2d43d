# Where things are, and how processes are started, awaited and stopped.

DOUG_KUBE_HOME=${DOUG_KUBE_HOME:-$HOME/.cache/dougdb-kube}
STATE=${DOUG_KUBE_STATE:-$DOUG_KUBE_HOME/state}
NODES=${NODES:-3}
NODE_GRACE=${NODE_GRACE:-12s}
BIN=$DOUG_KUBE_HOME/bin
IMAGES=$DOUG_KUBE_HOME/images
CONTROL=10.250.0.10
export PATH=$BIN:$PATH:/usr/sbin:/sbin
export KUBECONFIG=$STATE/pki/admin.kubeconfig
# By this `down` knows what belongs to this cluster, whoever started it. What builds does not: a
# build goes on beside `down`, and is used by the next cluster.
belongs_to_lab() { export DOUG_LAB_OF=$STATE; }

die() { echo "lab: $*" >&2; exit 1; }

# await WHAT SECONDS COMMAND…: until it succeeds.
await() {
    local what=$1 deadline=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || die "waited in vain for $what"
        sleep 0.1
    done
}

# inside NAMESPACE COMMAND…: `ip netns exec` would remount /sys and hide the
# cgroups from the kubelet; nsenter leaves the mounts alone.
inside() {
    local namespace=$1
    shift
    nsenter --net=/run/netns/"$namespace" "$@"
}

# start NAMESPACE NAME COMMAND…: in the background, with a log and a pid file.
start() {
    local namespace=$1 name=$2
    shift 2
    {
        close_inherited
        exec setsid nsenter --net=/run/netns/"$namespace" "$@" >>"$STATE/log/$name.log" 2>&1 </dev/null
    } &
    echo $! >"$STATE/log/$name.pid"
}

# A lock that whoever called us holds by an open file would last as long as the lab.
close_inherited() {
    local file
    for file in /proc/self/fd/*; do
        file=${file##*/}
        ((file <= 2)) || eval "exec $file>&-"
    done 2>/dev/null
}

# By SIGKILL: the API server would take a minute to end, and a node dies like this.
stop_process() {
    local file=$STATE/log/$1.pid pid
    [[ -f $file ]] || return 0
    pid=$(<"$file")
    # The number may be another process's by now; each of ours was told of the state.
    ! grep -qs "$STATE/" "/proc/$pid/cmdline" || kill -9 "$pid" 2>/dev/null || true
    rm -f "$file"
}

# Whatever belongs to this cluster, but for those who ask: tests of a run that
# was killed would go on, and on the next cluster.
stop_leftovers() {
    local pid=$BASHPID asking=" "
    while ((pid > 1)); do
        asking+="$pid "
        pid=$(awk '/^PPid:/ {print $2}' "/proc/$pid/status")
    done
    for pid in $(grep -lszxF "DOUG_LAB_OF=$STATE" /proc/[0-9]*/environ | cut -d/ -f3); do
        [[ $asking == *" $pid "* ]] || kill -9 "$pid" 2>/dev/null || true
    done
}

stop_every_process() {
    local node file
    # The kubelets first, or they start again what is stopped after them.
    for node in $(node_names); do stop_process "$node-kubelet"; done
    for node in $(node_names); do kill_containers "$node"; done
    for file in "$STATE"/log/*.pid; do
        [[ ! -f $file ]] || stop_process "$(basename "$file" .pid)"
    done
    # A container's shim outlives its containerd.
    { pgrep -f "containerd-shim-runc-v2 .*-address $STATE/" || true; } | xargs -r kill -9
}

# Containers whose containerd is no longer there to be asked: their root is a
# folder of the state's.
stop_forgotten_containers() {
    local file
    for file in /proc/[0-9]*/mountinfo; do
        ! awk -v state="$STATE/" '$5 == "/" && index($0, state) {found = 1} END {exit !found}' "$file" 2>/dev/null ||
            kill -9 "$(cut -d/ -f3 <<<"$file")" 2>/dev/null || true
    done
}

remove_mounts() {
    local mount
    awk -v state="$STATE/" 'index($2, state) == 1 {print $2}' /proc/mounts | sort -r | while read -r mount; do
        umount -l "$mount"
    done
}

# What the storage driver left attached.
remove_loops() {
    losetup -nO NAME,BACK-FILE | awk -v state="$STATE/" 'index($2, state) == 1 {print $1}' | xargs -r -n1 losetup -d
}
