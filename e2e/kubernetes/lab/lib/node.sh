# A node: containerd, kubelet and kube-proxy in a network namespace of its own.

node_names() {
    local path
    for path in "$STATE"/node[0-9]*; do
        [[ ! -d $path ]] || basename "$path"
    done
}

# for_each_node COMMAND…: with the node's name as its last argument.
for_each_node() {
    local node
    for node in $(node_names); do "$@" "$node"; done
}

# The nodes at once: each mostly waits for its images to be unpacked.
raise_nodes() {
    local number
    for number in $(seq "$NODES"); do prepare_node "$number"; done
    at_once populate_node
    for_each_node start_node
}

# at_once COMMAND…: for_each_node, side by side.
at_once() {
    local node pids=() pid
    for node in $(node_names); do
        "$@" "$node" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || die "$* failed on a node"; done
}

prepare_node() {
    local number=$1 node=node$1
    mkdir -p "$STATE/$node/cni"
    raise_namespace "$node" "$number"
    make_kubeconfig "$node" "/O=system:nodes/CN=system:node:$node"
    configure_containerd "$node" "$number"
    configure_network_plugin "$node" "$number"
    configure_kubelet "$node"
    configure_proxy "$node"
    start "$node" "$node-containerd" containerd -c "$STATE/$node/containerd.toml"
}

populate_node() {
    await "containerd of $1" 30 ctr -a "$STATE/$1/containerd.sock" version
    import_images "$IMAGES"/*.tar "$1"
}

# load ARCHIVE…
load() { at_once import_images "$@"; }

# import_images ARCHIVE… NODE
import_images() {
    local archive
    for archive in "${@:1:$#-1}"; do
        ctr -a "$STATE/${*: -1}/containerd.sock" -n k8s.io images import "$archive" >/dev/null
    done
}

start_node() {
    local node=$1 number=${1#node}
    start "$node" "$node-kubelet" kubernetes kubelet --config="$STATE/$node/kubelet.yaml" \
        --kubeconfig="$STATE/pki/$node.kubeconfig" --hostname-override="$node" \
        --node-ip="$(node_address "$number")" --root-dir="$STATE/$node/kubelet" \
        --cert-dir="$STATE/$node/kubelet-pki" --node-labels="topology.kubernetes.io/zone=zone$number"
    start "$node" "$node-proxy" kubernetes kube-proxy --config="$STATE/$node/proxy.yaml"
    start_storage_node "$node"
}

kill_node() {
    stop_process "$1-kubelet"
    stop_process "$1-proxy"
    stop_process "$1-storage"
    kill_containers "$1"
}

kill_containers() {
    local socket=$STATE/$1/containerd.sock task
    [[ -S $socket ]] || return 0
    for task in $(timeout 10 ctr -a "$socket" -n k8s.io tasks ls -q 2>/dev/null); do
        timeout 10 ctr -a "$socket" -n k8s.io tasks rm -f "$task" >/dev/null 2>&1 &
    done
    wait
}

# kill_named CONTAINER NODE
kill_named() {
    local control=(ctr -a "$STATE/$2/containerd.sock" -n k8s.io) container
    for container in $("${control[@]}" containers ls -q "labels.\"io.kubernetes.container.name\"==$1"); do
        # One that has ended already, of an earlier start, has no task.
        "${control[@]}" tasks kill -s SIGKILL "$container" 2>/dev/null || true
    done
}

# configure_containerd NODE NUMBER
configure_containerd() {
    # Without CAP_SYS_RESOURCE no process may lower its oom_score_adj.
    cat >"$STATE/$1/containerd.toml" <<E
version = 2
root = "$STATE/$1/containerd"
state = "$STATE/$1/containerd-run"
[grpc]
  address = "$STATE/$1/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/lab/pause:1"
  restrict_oom_score_adj = true
  stream_server_address = "$(node_address "$2")"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/$1/cni"
E
}

# configure_network_plugin NODE NUMBER
configure_network_plugin() {
    # ptp rather than bridge: every packet is routed by the node, so services
    # need no br_netfilter, which not every kernel has.
    cat >"$STATE/$1/cni/10-lab.conflist" <<E
{"cniVersion": "0.4.0", "name": "lab", "plugins": [
  {"type": "ptp",
   "ipam": {"type": "host-local", "dataDir": "$STATE/$1/ipam",
            "ranges": [[{"subnet": "10.244.$2.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
E
}

configure_kubelet() {
    # Several kubelets share this machine's cgroups, so none may enforce its own
    # tree there; and cgroup v1 is all that some machines have. In a common
    # folder of logs, each would remove the logs of the others' pods. A volume's
    # file system grows when its pod is looked at next.
    echo "nameserver 127.0.0.1" >"$STATE/resolv.conf"
    cat >"$STATE/$1/kubelet.yaml" <<E
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
# Without cgroups of its own this kubelet would die of a nil pointer when it finds
# that a container has other limits than it has just been given.
featureGates: {InPlacePodVerticalScaling: false}
enforceNodeAllocatable: []
failCgroupV1: false
podLogsDir: $STATE/$1/pod-logs
syncFrequency: 10s
failSwapOn: false
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$STATE/$1/containerd.sock
resolvConf: $STATE/resolv.conf
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
nodeStatusUpdateFrequency: 4s
E
}

configure_proxy() {
    cat >"$STATE/$1/proxy.yaml" <<E
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: 10.244.0.0/16
hostnameOverride: $1
clientConnection: {kubeconfig: $STATE/pki/proxy.kubeconfig}
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
E
}
