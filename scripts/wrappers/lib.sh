# shellcheck shell=bash
# What the wrappers share: archbuild under the names of devtools' and aurutils-qemu's commands. Sourced, never run.
# Their chroots are DIR/root and DIR/COPY; ours are DIR/ARCH/root and working copies that come and go by themselves.

name=${0##*/}

# usage TEXT: the synopsis, and 64.
usage() {
  printf 'usage: %s %s\n' "$name" "$1" >&2
  exit 64
}

# refuse OPTION WHY: an option that has no meaning here.
refuse() {
  printf '%s: %s: %s\n' "$name" "$1" "$2" >&2
  exit 64
}

# pass_over OPTION WHY: an option that is not needed here.
pass_over() { printf '%s: %s is not needed: %s\n' "$name" "$1" "$2" >&2; }

# chroot_of PATH: the directory of chroots that devtools' path of a root or copy lies in.
chroot_of() {
  local path=${1%/}
  case ${path##*/} in
    root) dirname -- "$path" ;;
    *) printf '%s\n' "$path" ;;
  esac
}
