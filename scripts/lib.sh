# shellcheck shell=bash
# What the scripts share: messages, where things lie, who builds. Sourced, never run.
# Nothing here changes the machine, with one exception: target_dir makes the directory below /var/tmp.

# The source tree, and the unprivileged account that builds when root starts a script.
# shellcheck disable=SC2034 # used by the scripts that source this file
PORTSMITH_TREE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
PORTSMITH_ACCOUNT=portsmith

# Started by root, what is made below the target directory has to be readable by that account.
[ "$(id -u)" != 0 ] || umask 022

# say TEXT: one line of progress or of a message, on stderr.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
# hint TEXT: a second line that says what to do.
hint() { printf '%s: hint: %s\n' "${0##*/}" "$*" >&2; }
# die TEXT: say it and stop with 1.
die() {
  say "$@"
  exit 1
}
# have COMMAND: is it there?
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }

# open_to_all PATH: can every account walk to PATH and read it?
open_to_all() {
  local path mode
  path=$(readlink -f -- "$1") || return 1
  while :; do
    mode=$(stat -c %a -- "$path") || return 1
    case ${mode: -1} in
      5 | 7) ;;
      1 | 3) [ "$path" != "$(readlink -f -- "$1")" ] || return 1 ;;
      *) return 1 ;;
    esac
    [ "$path" != / ] || return 0
    path=$(dirname -- "$path")
  done
}

# target_dir: print cargo's target directory (absolute). Binaries, mirrors and the demo's state lie
# below it. It is CARGO_TARGET_DIR, else target/ in the tree; but root's tree may be closed to the
# build account (/root is 0700), and then it is a directory of this tree below /var/tmp.
target_dir() {
  local dir
  if [ -n "${CARGO_TARGET_DIR:-}" ]; then
    dir=$CARGO_TARGET_DIR
    [ "${dir#/}" != "$dir" ] || dir=$PWD/$dir
  elif ! is_root || open_to_all "$PORTSMITH_TREE"; then
    dir=$PORTSMITH_TREE/target
  else
    dir=/var/tmp/portsmith-target-$(printf %s "$PORTSMITH_TREE" | sha256sum | cut -c1-16)
    # Anybody may write to /var/tmp: root must not run binaries out of somebody else's directory.
    [ -e "$dir" ] || [ -L "$dir" ] || mkdir -m 755 -- "$dir" 2>/dev/null || :
    if [ -L "$dir" ] || ! [ -d "$dir" ] || ! [ -O "$dir" ]; then
      die "$dir: not a directory of root's: remove it, or set CARGO_TARGET_DIR"
    fi
  fi
  printf '%s\n' "$dir"
}

# mirror_dir ARCH: print where the test mirror for that architecture lies (Arch's name for it).
mirror_dir() { printf '%s/mirror/%s\n' "$(target_dir)" "$1"; }

# find_cargo: print the path of cargo; sudo forgets that ~/.cargo/bin was in PATH.
find_cargo() {
  command -v cargo && return
  [ -x "${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo" ] || return 1
  printf '%s\n' "${CARGO_HOME:-$HOME/.cargo}/bin/cargo"
}

# libalpm_feature: print the cargo feature of `common` for this machine's libalpm.
libalpm_feature() {
  local version
  version=$(pkg-config --modversion libalpm 2>/dev/null) || {
    say "pkg-config does not find libalpm: run scripts/setup"
    return 1
  }
  case ${version%%.*} in
    13 | 15 | 16) printf 'libalpm%s\n' "${version%%.*}" ;;
    *)
      say "libalpm $version is installed, only 13, 15 and 16 are supported"
      return 1
      ;;
  esac
}

# as_builder COMMAND…: run it as the account that builds: the build account when called by root, in
# an environment with nothing but PATH, HOME, USER, LOGNAME and SHELL, else the caller as it is.
as_builder() {
  if is_root; then
    setpriv --reuid "$PORTSMITH_ACCOUNT" --regid "$PORTSMITH_ACCOUNT" --init-groups --reset-env \
      env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
  else
    "$@"
  fi
}
