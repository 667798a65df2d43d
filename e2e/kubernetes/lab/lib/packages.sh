# Debian packages: the container runtime, the network plugins, and small tools.

PACKAGES=(containerd runc containernetworking-plugins nftables iproute2 conntrack busybox-static
    openssl xfsprogs gcc libc6-dev python3)

# install_packages PACKAGE…: all that is missing of these, too.
install_packages() {
    local package missing=()
    for package in "${PACKAGES[@]}" "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    [[ $EUID -eq 0 ]] || die "not root, and missing: apt-get install ${missing[*]}"
    local apt=(apt-get -o DPkg::Lock::Timeout=300 -q)
    "${apt[@]}" update
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
}
