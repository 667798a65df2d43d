# Programs and images, built once into the cache from Go modules and Debian
# packages. A file's name carries its version, so that another version here is
# built beside it; it gets that name once it is whole, since a build may be killed.

KUBERNETES_VERSION=v1.34.4
ETCD_VERSION=v3.6.16
COREDNS_VERSION=v1.14.7
LOCAL_PATH_VERSION=v0.0.30
HELM_VERSION=v3.19.5
HELM_UNITTEST_VERSION=v1.1.2
KUBECONFORM_VERSION=v0.8.0
PROMETHEUS_VERSION=v0.316.0
CSI_PROVISIONER_VERSION=v6.4.0
CSI_RESIZER_VERSION=v2.3.0

export CGO_ENABLED=0

build_all() {
    mkdir -p "$BIN" "$IMAGES"
    build_programs
    build_helm
    build_images
}

build_programs() {
    local version=k8s.io/component-base/version
    built kubernetes $KUBERNETES_VERSION \
        "-X $version.gitVersion=$KUBERNETES_VERSION -X $version.gitMajor=1 -X $version.gitMinor=34"
    ln -sf kubernetes "$BIN/kubectl"
    built etcd $ETCD_VERSION
    installed github.com/coredns/coredns $COREDNS_VERSION
    installed github.com/rancher/local-path-provisioner $LOCAL_PATH_VERSION
    build_storage
}

build_storage() {
    built csi "$(digest csi)"
    from csi csi-provisioner $CSI_PROVISIONER_VERSION github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner
    from csi csi-resizer $CSI_RESIZER_VERSION github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer
}

# digest FOLDER: stands for a version where the program is ours.
digest() { cat "$LAB/$1"/*.go "$LAB/$1/go.sum" | sha256sum | cut -c 1-12; }

build_helm() {
    mkdir -p "$BIN"
    installed helm.sh/helm/v3/cmd/helm $HELM_VERSION
}

# The chart's own tests need these, and no cluster.
build_chart_tools() {
    build_helm
    from helm-unittest helm-unittest $HELM_UNITTEST_VERSION github.com/helm-unittest/helm-unittest/cmd/helm-unittest
    installed github.com/yannh/kubeconform/cmd/kubeconform $KUBECONFORM_VERSION
    # Rules are tested without the clouds in which Prometheus can find targets.
    installed github.com/prometheus/prometheus/cmd/promtool $PROMETHEUS_VERSION remove_all_sd
    write_schemas
}

write_schemas() {
    local folder=$DOUG_KUBE_HOME/schemas-$KUBERNETES_VERSION module
    [[ ! -d $folder ]] || return 0
    module=$(cd "$LAB/kubernetes" && go mod download -json k8s.io/kubernetes | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
    rm -rf "$folder.new"
    "$LAB/schemas.py" "$module/api/openapi-spec/swagger.json" "$folder.new"
    mv "$folder.new" "$folder"
}

# built FOLDER VERSION [LINKER-FLAGS]: the program of a module beside this script.
built() { from "$1" "$1" "$2" . "${3:-}"; }

# from FOLDER NAME VERSION PACKAGE [LINKER-FLAGS]: a program that a module beside
# this script names with all it is built from.
from() {
    if [[ ! -x $BIN/$2-$3 ]]; then
        echo "lab: building $2 $3"
        (cd "$LAB/$1" && go build -trimpath -ldflags "-s -w ${5:-}" -o "$BIN/new/$2" "$4")
        mv "$BIN/new/$2" "$BIN/$2-$3"
    fi
    ln -sf "$2-$3" "$BIN/$2"
}

# installed PACKAGE VERSION [TAGS]: a program of somebody else's module.
installed() {
    local name=${1##*/}
    if [[ ! -x $BIN/$name-$2 ]]; then
        echo "lab: building $name $2"
        GOBIN=$BIN/new go install -trimpath -tags "${3:-}" -ldflags "-s -w" "$1@$2"
        mv "$BIN/new/$name" "$BIN/$name-$2"
    fi
    ln -sf "$name-$2" "$BIN/$name"
}

build_images() {
    if [[ ! -f $IMAGES/pause.tar ]]; then
        gcc -static -Os -s -o "$IMAGES/pause" "$LAB/pause.c"
        archived pause lab/pause:1 --entrypoint /pause "$IMAGES/pause=/pause"
        rm "$IMAGES/pause"
    fi
    archived busybox busybox:1.36 /bin/busybox=/bin/busybox \
        --link /bin/sh=busybox --link /bin/mkdir=busybox --link /bin/rm=busybox
    archived coredns-$COREDNS_VERSION lab/coredns:$COREDNS_VERSION \
        --entrypoint /coredns "$BIN/coredns=/coredns"
    archived local-path-$LOCAL_PATH_VERSION lab/local-path-provisioner:$LOCAL_PATH_VERSION \
        --entrypoint /local-path-provisioner "$BIN/local-path-provisioner=/local-path-provisioner"
}

# archived FILE NAME ARGUMENT…: an image, unless it is there already.
archived() {
    local file=$IMAGES/$1.tar
    shift
    [[ -f $file ]] || "$LAB/archive.py" "$file" "$@"
}
