# Shared by all scripts: a virtual environment with what they need, made once.
#
# OST_VENV    folder of the environment (default: .venv in the checkout)
# OST_PYTHON  Python that makes it (default: the first python3 that is 3.10 or newer)
# pip's own variables (PIP_INDEX_URL, ...) are honoured.

say() { printf '== %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${OST_VENV:-$root/.venv}"

is_recent() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

find_python() {
  local candidate
  if [ -n "${OST_PYTHON:-}" ]; then
    is_recent "$OST_PYTHON" || die "OST_PYTHON=$OST_PYTHON is not a Python of version 3.10 or newer"
    echo "$OST_PYTHON"
    return
  fi
  for candidate in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
    if is_recent "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  die "no Python of version 3.10 or newer found; install one, or name it in OST_PYTHON"
}

# What an installed environment depends on: the metadata, the place of the checkout, the extras.
fingerprint() {
  { cat "$root/pyproject.toml" "$root/setup.py" && printf '%s\n' "$root" "$1"; } | cksum | tr -d ' \n'
}

stamp_of() { echo "$venv/.ost-installed-${1//,/-}"; }

is_ready() {
  [ -x "$venv/bin/python" ] && [ "$(cat "$(stamp_of "$1")" 2>/dev/null)" = "$(fingerprint "$1")" ]
}

asks_help() { case " $* " in *" --help "* | *" -h "*) ;; *) return 1 ;; esac; }

show_comment() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

# answer_help ARGUMENTS: --help shows the comment at the top of the script.
answer_help() {
  if asks_help "$@"; then
    show_comment
    exit 0
  fi
}

# start EXTRAS ARGUMENTS: see to the environment of a tool that gets the arguments. --help installs
# nothing: where the tool cannot answer yet, the script's own comment does.
start() {
  local extras="$1"
  shift
  if ! is_ready "$extras" && asks_help "$@"; then
    show_comment
    echo "The environment $venv is not ready; once it is, --help lists all options."
    exit 0
  fi
  ensure_environment "$extras" >&2
}

# The checkout that the environment runs, as pip noted it; nothing where there is none.
owner() {
  "$venv/bin/python" -I -c '
import importlib.metadata, json, urllib.parse
noted = importlib.metadata.distribution("ost-slowfast").read_text("direct_url.json")
print(urllib.parse.unquote(urllib.parse.urlsplit(json.loads(noted)["url"]).path))' 2>/dev/null || true
}

# ensure_environment EXTRAS: make the environment and install the project with EXTRAS (separated by
# commas), unless a stamp says that this has been done.
ensure_environment() {
  local extras="$1" python part other
  if is_ready "$extras"; then
    say "environment $venv is ready: nothing to install"
    return
  fi
  other="$(owner)"
  if [ -f "$other/pyproject.toml" ] && ! [ "$other" -ef "$root" ]; then
    die "$venv runs the checkout $other: name another environment in OST_VENV, or remove this one"
  fi
  # An environment whose making was interrupted has a Python but no pip: venv then completes it.
  if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python="$(find_python)"
    say "making a virtual environment in $venv with $("$python" --version)"
    "$python" -m venv "$venv" || die "$python could not make $venv (on Debian: apt install python3-venv)"
  fi
  say "installing the project with its extras $extras (the first time takes minutes: torch is large)"
  "$venv/bin/python" -m pip install --disable-pip-version-check --quiet --editable "$root[$extras]"
  for part in "$extras" ${extras//,/ }; do
    fingerprint "$part" >"$(stamp_of "$part")"
  done
}

# Number of processors this shell may use.
count_processors() {
  nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1
}
