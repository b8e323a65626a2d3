#!/bin/sh
# Sets a Debian machine up for Bakvakt: setup.sh [--check] [COMMAND]
#
# Installs only what is missing, starts nothing, and can be repeated after a cut: each step looks
# for itself whether it has been done. --check only tells, by its status, whether all of it has.
# COMMAND is what the machine is set up for: `test` needs two programs more than the rest.
set -eu

uv_version=0.13.9

root=$(CDPATH='' cd "$(dirname "$0")/../.." && pwd -P)
venv=$root/.venv
kafka=$root/.local/kafka
records=$root/.local/setup
log=$records/setup.log

check_only=no
if [ "${1:-}" = --check ]; then
    check_only=yes
    shift
fi
purpose=${1:-}

# What set-up depends on, and where it was done: a copied clone has paths of the old one in .venv.
fingerprint() {
    { echo "$root"; cat "$root/deploy/local/setup.sh" "$root/requirements.lock" \
        "$root/deploy/local/kafka/pom.xml"; } | cksum
}

has_test_programs() {
    command -v promtool >/dev/null && command -v kcat >/dev/null
}

is_done() {
    [ -x "$venv/bin/python" ] && [ -d "$kafka/libs" ] && [ -f "$records/stamp" ] || return 1
    [ "$(fingerprint)" = "$(cat "$records/stamp")" ] || return 1
    [ "$purpose" != test ] || has_test_programs
}

if is_done; then
    exit 0
elif [ "$check_only" = yes ]; then
    exit 1
fi

# ---- Progress: one line a step, the tools' own words in the log. ----

. "$root/deploy/local/progress.sh"

step_number=0
step_count=4
steps_left='packages environment libraries kafka'

say() {
    printf '%s\n' "$*"
}

# step TITLE FUNCTION HINT: runs the function with its output in the log.
step() {
    step_number=$((step_number + 1))
    line="[$step_number/$step_count] $1"
    printf '%s ... ' "$line"
    printf '\n==== %s: %s\n' "$(date -u '+%Y-%m-%d %H:%M:%S')" "$1" >>"$log"
    started_s=$(date +%s)
    # shellcheck disable=SC2086 # one word a step
    start_ticker "$line" $steps_left
    # A function called in a condition runs without `set -e`, hence the subshell of its own.
    set +e
    (set -e; "$2") >>"$log" 2>&1
    status=$?
    set -e
    if [ -n "$ticker" ]; then
        stop_ticker
        printf '%s ... ' "$line"
    fi
    if [ "$status" -ne 0 ]; then
        say failed
        {
            say ''
            tail -n 20 "$log"
            say ''
            say "Set-up stopped at \"$1\"; the lines above are the end of $log."
            say "$3"
            say 'Then run the same command again: it goes on where it stopped.'
        } >&2
        exit 1
    fi
    elapsed_s=$(($(date +%s) - started_s))
    say "$elapsed_s s"
    learn_pace "${steps_left%% *}" "$elapsed_s"
    steps_left=${steps_left#* }
}

# ---- Debian packages ----

has_java() {
    version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge 17 ]
}

has_postgresql() {
    # The account comes when the package is configured, after its programs.
    getent passwd postgres >/dev/null || return 1
    for program in /usr/lib/postgresql/*/bin/postgres; do
        [ ! -x "$program" ] || return 0
    done
    return 1
}

missing_packages() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    command -v redis-server >/dev/null || echo redis-server
    has_postgresql || echo postgresql
    has_java || echo default-jre-headless
    command -v mvn >/dev/null || echo maven
    if [ "$purpose" = test ]; then
        command -v promtool >/dev/null || echo prometheus
        command -v kcat >/dev/null || echo kcat
    fi
}

policy=/usr/sbin/policy-rc.d
no_cluster=/etc/postgresql-common/createcluster.d/bakvakt-setup.conf
mark='# made by the set-up of Bakvakt, for as long as it runs'

# Only what is ours: a policy that the machine had before stays as it was.
remove_guards() {
    for guard in "$policy" "$no_cluster"; do
        if [ -f "$guard" ] && grep -qxF "$mark" "$guard"; then
            rm -f "$guard"
        fi
    done
    # Only where we made them, that is, where they are empty.
    rmdir /etc/postgresql-common/createcluster.d /etc/postgresql-common 2>/dev/null || :
}

# While these two files are there, a package that brings a server neither starts it (invoke-rc.d
# asks the policy) nor makes a database cluster (pg_createcluster reads the directory).
place_guards() {
    if [ ! -e "$policy" ]; then
        printf '%s\n' '#!/bin/sh' "$mark" 'exit 101' >"$policy.bakvakt"
        chmod 755 "$policy.bakvakt"
        mv "$policy.bakvakt" "$policy"
    fi
    mkdir -p "$(dirname "$no_cluster")"
    printf '%s\n' "$mark" 'create_main_cluster = false' >"$no_cluster"
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    install='apt-get install -q -y --fix-broken --no-install-recommends -o DPkg::Lock::Timeout=300'
    # While dpkg works Ctrl-C waits: it would go on behind our back, after the guards have gone.
    trap '' INT TERM HUP
    # What an earlier run left half installed, if it was killed, and as far as that goes by itself.
    dpkg --configure -a || :
    trap - INT TERM HUP
    apt-get update -q
    # shellcheck disable=SC2086 # one word a package
    $install --download-only $packages
    trap '' INT TERM HUP
    # A package that dpkg was killed in the middle of unpacking must be unpacked again.
    cut_off=$(dpkg-query -W -f '${Package} ${db:Status-Eflag}\n' | sed -n 's/ reinstreq$//p')
    # shellcheck disable=SC2086
    [ -z "$cut_off" ] || $install --reinstall $cut_off
    # shellcheck disable=SC2086
    $install $packages
}

# ---- Python ----

make_venv() {
    # Made anew if a cut left it without pip, or if the clone has been moved.
    if "$venv/bin/python" -m pip --version && grep -qF "$venv" "$venv/bin/activate"; then
        echo 'kept'
    else
        rm -rf "$venv"
        python3 -m venv "$venv"
    fi
    if [ "$("$venv/bin/uv" --version | cut -d ' ' -f 2)" != "$uv_version" ]; then
        "$venv/bin/python" -m pip install "uv==$uv_version"
    fi
}

install_python_packages() {
    "$venv/bin/uv" pip sync --require-hashes --python "$venv/bin/python" "$root/requirements.lock"
}

# ---- Kafka ----

fetch_kafka() {
    wanted=$(cksum <"$root/deploy/local/kafka/pom.xml")
    if [ -d "$kafka/libs" ] && [ "$(cat "$kafka/libs/made-from" || :)" = "$wanted" ]; then
        echo 'kept'
        return
    fi
    rm -rf "$kafka/libs.new"
    mvn -B -q -f "$root/deploy/local/kafka/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$kafka/libs.new"
    printf '%s\n' "$wanted" >"$kafka/libs.new/made-from"
    rm -rf "$kafka/libs"
    mv "$kafka/libs.new" "$kafka/libs"
}

# ---- In order ----

mkdir -p "$records" "$kafka"

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    say 'Bakvakt needs Python 3.11 or newer as python3 (Debian 12 or 13 has it).' >&2
    exit 1
fi

# The lock is the open file, so it goes with the process, however that ends.
exec 9>"$records/lock"
if ! flock -n 9; then
    say 'Another set-up of this clone is running; waiting for it.'
    flock 9
    if is_done; then
        exit 0
    fi
fi

trap 'stop_ticker; remove_guards' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
remove_guards

packages=$(missing_packages | tr '\n' ' ')
if [ -n "$packages" ]; then
    if ! command -v apt-get >/dev/null; then
        say "This is no Debian: install what these packages hold, then try again: $packages" >&2
        exit 1
    fi
    place_guards
    step "Debian packages: ${packages% }" install_packages \
        'See whether the machine reaches its Debian mirror (apt-get update).'
    remove_guards
else
    step_count=3
    steps_left=${steps_left#* }
fi
step 'Python environment' make_venv \
    'See whether pip reaches its package index (the settings of pip are used as they are).'
step 'Python packages' install_python_packages \
    'See whether uv reaches its package index (its settings are used as they are).'
step 'Kafka' fetch_kafka \
    'See whether Maven reaches its repository (~/.m2/settings.xml is used as it is).'

fingerprint >"$records/stamp.new"
mv "$records/stamp.new" "$records/stamp"
