# One network namespace for the control plane and one for each node, on a bridge
# inside the control plane's; this machine has a leg on it, for kubectl.

raise_network() {
    ip netns add kube-control
    inside kube-control ip link add br0 type bridge
    inside kube-control ip link set lo up
    inside kube-control ip addr add $CONTROL/24 dev br0
    inside kube-control ip link set br0 up
    inside kube-control sysctl -qw net.ipv4.ip_forward=1
    ip link add kube-host type veth peer name v-host netns kube-control
    ip addr add 10.250.0.1/24 dev kube-host
    ip link set kube-host up
    inside kube-control ip link set v-host master br0 up
}

# raise_namespace NODE NUMBER
raise_namespace() {
    local node=$1 number=$2 other
    ip netns add "$node"
    ip link add "v-$node" netns kube-control type veth peer name eth0 netns "$node"
    inside kube-control ip link set "v-$node" master br0 up
    inside "$node" ip link set lo up
    inside "$node" ip addr add "$(node_address "$number")/24" dev eth0
    inside "$node" ip link set eth0 up
    inside "$node" ip route add default via $CONTROL
    inside "$node" sysctl -qw net.ipv4.ip_forward=1
    for other in $(seq "$NODES"); do
        [[ $other == "$number" ]] || inside "$node" ip route add "10.244.$other.0/24" via "$(node_address "$other")"
    done
    inside kube-control ip route add "10.244.$number.0/24" via "$(node_address "$number")"
}

remove_network() {
    local namespace
    ip netns list | awk '/^(cni-|kube-control|node[0-9])/ {print $1}' | while read -r namespace; do
        ip netns del "$namespace"
    done
    ! ip link show kube-host >/dev/null 2>&1 || ip link del kube-host
}

node_address() { echo "10.250.0.$((100 + $1))"; }
