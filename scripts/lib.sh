# What scripts/demo and scripts/test share. Sourced, not run.

# A step's name, with the time since the script began.
step() {
  printf '\n==> [%3d s] %s\n' "$SECONDS" "$*" >&2
}

fail() {
  printf '\nerror: %s\n' "$*" >&2
  exit 1
}

have() {
  command -v "$1" >/dev/null 2>&1
}

# librdkafka's configure script and makefiles fail below a directory whose name has a space or a quotation mark. From
# such a directory the build goes elsewhere.
case $PWD in
*[[:space:]\'\"\$\&\;\(\)]*)
  if [ -z "${CARGO_TARGET_DIR:-}" ]; then
    cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}
    [ -n "${HOME:-}${XDG_CACHE_HOME:-}" ] || cache=/tmp/cache-$(id -u)
    case $cache in *[[:space:]\'\"\$\&\;\(\)]*) cache=/tmp/cache-$(id -u) ;; esac
    CARGO_TARGET_DIR=$cache/idaas-bridge/target-$(printf %s "$PWD" | cksum | cut -d ' ' -f 1)
    export CARGO_TARGET_DIR
    printf 'note: the path of this directory has characters that the build cannot use; building in %s\n' "$CARGO_TARGET_DIR" >&2
  fi
  ;;
esac

# Installs Debian packages where that is allowed without asking; returns 1 where it is not.
install_packages() {
  local root=()
  have apt-get || return 1
  if [ "$(id -u)" -ne 0 ]; then
    { have sudo && sudo -n true 2>/dev/null; } || return 1
    root=(sudo -n)
  fi
  step "installing $*"
  "${root[@]}" apt-get update -qq >&2 &&
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# What a build takes beyond Rust: librdkafka is compiled from its source (a C and a C++ compiler, make), and OpenSSL is
# the system's (headers, found by pkg-config).
require_build_tools() {
  local lacking=()
  have cargo || fail "Rust is missing: install it as https://rustup.rs tells, and run this again"
  { have cc && have c++; } || lacking+=(g++)
  have make || lacking+=(make)
  have pkg-config || lacking+=(pkg-config)
  { have pkg-config && pkg-config --exists openssl; } || lacking+=(libssl-dev)
  [ ${#lacking[@]} -eq 0 ] && return
  install_packages "${lacking[@]}" ||
    fail "the build needs ${lacking[*]}; run
    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${lacking[*]}
and then this again (other systems: their packages for a C++ compiler, make, pkg-config, OpenSSL's headers)"
}
