# A certificate authority for this cluster alone, and a kubeconfig for each of
# its components.

KEY=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

make_certificates() {
    local pki=$STATE/pki
    openssl req -x509 "${KEY[@]}" -keyout "$pki/ca.key" -out "$pki/ca.crt" -days 30 -subj /CN=kubernetes 2>/dev/null
    openssl genrsa -out "$pki/serviceaccount.key" 2048 2>/dev/null
    certificate apiserver /CN=kube-apiserver \
        "subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:10.96.0.1,IP:$CONTROL"
    make_kubeconfig admin /O=system:masters/CN=admin
    make_kubeconfig controllers /CN=system:kube-controller-manager
    make_kubeconfig scheduler /CN=system:kube-scheduler
    make_kubeconfig proxy /CN=system:kube-proxy
    make_kubeconfig storage /O=system:masters/CN=storage
    make_kubeconfig kubelet-client /O=system:masters/CN=kubelet-client
}

# certificate NAME SUBJECT [EXTENSION]
certificate() {
    local file=$STATE/pki/$1 authority=$STATE/pki/ca
    openssl req "${KEY[@]}" -keyout "$file.key" -out "$file.csr" -subj "$2" 2>/dev/null
    openssl x509 -req -in "$file.csr" -CA "$authority.crt" -CAkey "$authority.key" -CAcreateserial \
        -out "$file.crt" -days 30 -extfile <(echo "${3:-}") 2>/dev/null
}

# make_kubeconfig NAME SUBJECT
make_kubeconfig() {
    local file=$STATE/pki/$1
    certificate "$1" "$2"
    cat >"$file.kubeconfig" <<E
apiVersion: v1
kind: Config
current-context: lab
clusters:
- name: lab
  cluster: {server: "https://$CONTROL:6443", certificate-authority-data: $(base64 -w0 "$STATE/pki/ca.crt")}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$file.crt"), client-key-data: $(base64 -w0 "$file.key")}
contexts:
- name: lab
  context: {cluster: lab, user: $1}
E
}
