# Volumes that have a size and can grow, from a storage driver of the lab's own:
# its controller beside the control plane, its other part on every node.

start_storage_controller() {
    mkdir -p "$STATE/volumes"
    start kube-control storage csi --socket "$STATE/csi.sock" --volumes "$STATE/volumes"
    start_storage_sidecars
}

start_storage_sidecars() {
    local kubeconfig=$STATE/pki/storage.kubeconfig socket=$STATE/csi.sock
    start kube-control storage-provisioner csi-provisioner --kubeconfig="$kubeconfig" --csi-address="$socket" --default-fstype=xfs
    start kube-control storage-resizer csi-resizer --kubeconfig="$kubeconfig" --csi-address="$socket"
}

# After a restart of the API server their watches can be silent for minutes.
restart_storage_sidecars() {
    stop_process storage-provisioner
    stop_process storage-resizer
    start_storage_sidecars
}

start_storage_node() {
    # Where this node's kubelet looks for plugins.
    mkdir -p "$STATE/$1/kubelet/plugins_registry"
    start "$1" "$1-storage" csi --socket "$STATE/$1/csi.sock" --volumes "$STATE/volumes" \
        --node "$1" --registry "$STATE/$1/kubelet/plugins_registry"
}
