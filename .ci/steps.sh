# The steps of .ci/run, one function each. Sourced: $ROOT, $WORK and the shell's options come from there.

# Run one step and say how long it took. Called plainly (not in an `if`), so that `set -e` holds in it.
step() {
    local started=$SECONDS
    printf '\n== %s\n' "$1"
    "step_$1" </dev/null
    printf -- '-- %s: passed in %d s\n' "$1" $((SECONDS - started))
}

# The newest Python that will do, of those on the path.
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
        then
            echo "$candidate"
            return
        fi
    done
    echo 'Python 3.11 or newer is needed' >&2
    return 1
}

new_venv() {
    local python
    python=$(find_python)
    # Debian splits ensurepip off; its own Python cannot make a venv without it.
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        apt_install python3-venv
    fi
    "$python" -m venv "$1"
}

# -qq: errors only; a machine whose pip.conf names folders that are not there has pages of warnings.
pip_install() { # VENV ARGUMENT...
    local venv=$1
    shift
    "$venv/bin/python" -m pip install -qq --retries 3 --timeout 60 "$@"
}

apt_install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "please install these yourself: $*" >&2
        return 1
    fi
    # A service that a package starts would take the ports; 101 says "not allowed".
    local policy=/usr/sbin/policy-rc.d made=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made=1
    fi
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "$@" >"$WORK/apt.log" 2>&1 || {
        cat "$WORK/apt.log" >&2
        [ -z "$made" ] || rm -f "$policy"
        return 1
    }
    [ -z "$made" ] || rm -f "$policy"
}

# The real programs of tests/integration.
step_programs() {
    local missing=()
    command -v opentracker >/dev/null || missing+=(opentracker)
    command -v aria2c >/dev/null || missing+=(aria2)
    command -v transmission-daemon >/dev/null || missing+=(transmission-daemon)
    command -v chromium >/dev/null || missing+=(chromium)
    command -v npm >/dev/null || missing+=(nodejs npm)
    if [ ${#missing[@]} -gt 0 ]; then
        echo "installing ${missing[*]}"
        apt_install "${missing[@]}"
    fi
    opentracker -h 2>&1 | head -n 1 || true
    aria2c --version | head -n 1
    transmission-daemon --version 2>&1 | head -n 1
    chromium --version 2>/dev/null
    install_npm bittorrent-dht@10.0.7
}

# A package of npm's. Its registry is nobody's to rely on: without it the tests that need the package are
# left out, and said to be.
install_npm() { # PACKAGE@VERSION
    local certificates=/etc/ssl/certs/ca-certificates.crt
    # node has authorities of its own, and not those that a company's proxy signs with.
    if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r "$certificates" ]; then
        export NODE_EXTRA_CA_CERTS=$certificates
    fi
    if timeout 90 npm install --prefix "$WORK/npm" --no-audit --no-fund --ignore-scripts --loglevel=error \
        --fetch-retries=1 --fetch-timeout=20000 "$1" </dev/null
    then
        export FUNCTORRENT_NODE_MODULES="$WORK/npm/node_modules"
    else
        echo "WARNING: npm gives no $1: tests that need it are left out" >&2
        export FUNCTORRENT_WITHOUT=${1%%@*}
    fi
}

# The developer's environment, as CONTRIBUTING.md says: an editable install.
step_environment() {
    new_venv "$WORK/venv"
    pip_install "$WORK/venv" --editable '.[test,dev]'
    "$WORK/venv/bin/python" -VV
    "$WORK/venv/bin/python" -m pip list 2>/dev/null | grep -iE '^(twisted|treq|libtorrent|pytest|mypy|ruff) '
}

step_lint() {
    "$WORK/venv/bin/ruff" check .
    "$WORK/venv/bin/ruff" format --check .
}

step_types() {
    "$WORK/venv/bin/mypy"
}

# Fragments are well formed and make a changelog.
step_changelog() {
    "$WORK/venv/bin/towncrier" build --draft --version 0.0.0 --date 2000-01-01 >"$WORK/changelog.md"
    cat "$WORK/changelog.md"
    grep -q '^- ' "$WORK/changelog.md" || ! ls changelog.d/*.*.md >/dev/null 2>&1
}

# trial exits 0 when it ran nothing, so its count is looked at, too.
run_trial() { # VENV
    local folder
    folder=$(mktemp -d "$WORK/trial.XXXXXX")
    timeout 600 "$1/bin/python" -m twisted.trial --temp-directory "$folder/t" --reporter=text tests \
        2>&1 | tee "$folder/log" | tail -n 60
    ran_enough "$folder/log"
}

ran_enough() { # LOG
    local ran
    ran=$(sed -n 's/^Ran \([0-9]*\) tests.*/\1/p' "$1")
    if [ "${ran:-0}" -lt 100 ]; then
        echo "trial ran only ${ran:-no} tests" >&2
        return 1
    fi
}

# Both kinds of install, and what the wheel holds.
step_packaging() {
    "$WORK/venv/bin/python" -m build --outdir "$WORK/dist" . >"$WORK/build.log" 2>&1 || {
        cat "$WORK/build.log" >&2
        return 1
    }
    "$WORK/venv/bin/python" .ci/check_wheel.py "$WORK"/dist/*.whl
    new_venv "$WORK/plain"
    pip_install "$WORK/plain" "$WORK"/dist/*.whl
    lists_metafetch "$WORK/venv" editable
    lists_metafetch "$WORK/plain" plain
    "$WORK/plain/bin/functorrent" --version
}

# From another folder, or the checkout itself would do.
lists_metafetch() { # VENV KIND
    local tool
    for tool in twistd twist; do
        (cd / && "$1/bin/$tool" --help) >"$WORK/help.txt" 2>&1
        if ! grep -q '^ *metafetch ' "$WORK/help.txt"; then
            echo "$tool --help does not list metafetch in the $2 install" >&2
            cat "$WORK/help.txt" >&2
            return 1
        fi
        echo "$2 install: $tool --help lists metafetch"
    done
}

# README's two commands, word for word, in a clone of their own.
step_readme() {
    git -c safe.directory='*' clone --quiet "$ROOT" "$WORK/clone"
    python3 .ci/readme_commands.py README.md >"$WORK/commands.sh"
    while IFS= read -r command; do
        printf '$ %s\n' "$command"
        (cd "$WORK/clone" && timeout 600 bash -c "$command") >"$WORK/command.log" 2>&1 || {
            tail -n 60 "$WORK/command.log" >&2
            return 1
        }
        tail -n 5 "$WORK/command.log"
    done <"$WORK/commands.sh"
    ran_enough "$WORK/command.log"
}

# The oldest versions that setup.cfg claims.
step_minimums() {
    new_venv "$WORK/minimums"
    python3 .ci/minimums.py setup.cfg >"$WORK/minimums.txt"
    cat "$WORK/minimums.txt"
    pip_install "$WORK/minimums" --constraint "$WORK/minimums.txt" '.[test]'
    run_trial "$WORK/minimums"
}

# Steps that need one core each, side by side; what each printed comes when it has ended.
step_together() {
    local name status=0 failed=
    local names=(readme minimums unit)
    declare -A running
    for name in "${names[@]}"; do
        ("step_$name") >"$WORK/$name.out" 2>&1 </dev/null &
        running[$name]=$!
    done
    for name in "${names[@]}"; do
        status=0
        wait "${running[$name]}" || status=$?
        printf '\n-- %s: %s\n' "$name" "$([ "$status" = 0 ] && echo passed || echo "FAILED ($status)")"
        cat "$WORK/$name.out"
        [ "$status" = 0 ] || failed="$failed $name"
    done
    [ -z "$failed" ] || { echo "failed:$failed" >&2; return 1; }
}

# What is measured: tracing all of the package made the unit tests take half as long again.
COVERED=functorrent.wire,functorrent.fetch

# pytest in the developer's environment, where a skip is a failure. LOG ARGUMENT...
run_pytest() {
    local log=$1 status=0
    shift
    FUNCTORRENT_REQUIRE_REAL=1 COVERAGE_FILE="$WORK/coverage" \
        timeout 1200 "$WORK/venv/bin/coverage" run --parallel-mode --source "$COVERED" -m pytest --timeout 180 \
        -p no:cacheprovider --durations 10 "$@" 2>&1 | tee "$log" || status=$?
    return "$status"
}

# The unit tests under pytest.
step_unit() {
    run_pytest "$WORK/unit.log" tests --ignore tests/integration
}

# What needs sockets, threads and real programs, with nothing else at work; then branch coverage of both.
step_integration() {
    run_pytest "$WORK/pytest.log" tests/integration
    export COVERAGE_FILE="$WORK/coverage"
    "$WORK/venv/bin/coverage" combine --quiet
    "$WORK/venv/bin/coverage" json --quiet -o "$WORK/coverage.json"
    "$WORK/venv/bin/python" .ci/check_coverage.py "$WORK/coverage.json" \
        functorrent/wire=95 functorrent/fetch=95
}
