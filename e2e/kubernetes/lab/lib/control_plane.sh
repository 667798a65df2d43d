# etcd, API server, controllers and scheduler, in a namespace of their own.

raise_etcd() { start kube-control etcd etcd --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level error; }

raise_control_plane() {
    raise_etcd
    start_apiserver
    # Controllers and scheduler exit when they start before the roles exist.
    await "the API server; see $STATE/log/apiserver.log" 120 apiserver_ready
    local pki=$STATE/pki
    start kube-control controllers kubernetes kube-controller-manager --kubeconfig="$pki/controllers.kubeconfig" \
        --service-account-private-key-file="$pki/serviceaccount.key" --root-ca-file="$pki/ca.crt" \
        --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
        --use-service-account-credentials --leader-elect=false --bind-address=127.0.0.1 \
        --node-monitor-grace-period="$NODE_GRACE"
    start kube-control scheduler kubernetes kube-scheduler --kubeconfig="$pki/scheduler.kubeconfig" \
        --leader-elect=false --bind-address=127.0.0.1
}

start_apiserver() {
    local pki=$STATE/pki
    # Logs and exec go to node addresses: nothing here resolves node names.
    start kube-control apiserver kubernetes kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
        --advertise-address=$CONTROL --service-cluster-ip-range=10.96.0.0/16 \
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
        --client-ca-file="$pki/ca.crt" --service-account-issuer=https://kubernetes.default.svc \
        --service-account-key-file="$pki/serviceaccount.key" \
        --service-account-signing-key-file="$pki/serviceaccount.key" \
        --authorization-mode=Node,RBAC --allow-privileged=true \
        --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
        --kubelet-preferred-address-types=InternalIP
}

apiserver_ready() { kubectl get --raw /readyz; }
