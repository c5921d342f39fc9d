#!/usr/bin/env bash
# Everything that must pass before a change lands, in one command: tests/run.sh
#
# It runs on a fresh Debian 12 that has Rust. As root it installs what else is missing; otherwise it names it.
# A step that fails does not stop the later ones. The last line is `N passed, N failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The version that the lowest supported Rust can build.
DENY_VERSION=0.20.2

passed=0
failed=0
finished=no
log=$(mktemp)

heading() { printf '\n== %s\n' "$1"; }
pass() { passed=$((passed + $1)); }
fail() { failed=$((failed + $1)); }

# The sum is printed, and counts, however the script ends.
finish() {
    rm -f "$log"
    [ "$finished" = yes ] || { echo 'The run ended early.'; fail 1; }
    printf '\n%s passed, %s failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ] || exit 1
}
trap finish EXIT

# Runs a command as a step of its own: one pass or one failure.
step() {
    local name=$1
    shift
    heading "$name"
    if "$@"; then pass 1; else fail 1; echo "FAILED: $name"; fi
}

tools() {
    local missing=()
    if ! command -v cargo >/dev/null; then
        echo 'Rust is missing: install it as https://rustup.rs says.'
        return 1
    fi
    command -v cc >/dev/null && command -v c++ >/dev/null && command -v make >/dev/null || missing+=(build-essential)
    command -v cmake >/dev/null || missing+=(cmake)
    command -v curl >/dev/null || missing+=(curl ca-certificates)
    # Other decoders than ours, which tests/decoders.rs lets read what is compressed here.
    command -v brotli >/dev/null || missing+=(brotli)
    command -v gzip >/dev/null || missing+=(gzip)
    command -v zstd >/dev/null || missing+=(zstd)
    if [ ${#missing[@]} -gt 0 ]; then
        if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
            echo "missing: ${missing[*]}. On Debian: sudo apt-get update && sudo apt-get install -y ${missing[*]}"
            return 1
        fi
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" || return 1
    fi
    component fmt rustfmt && component clippy clippy || return 1
    rustc --version
}

component() {
    cargo "$1" --version >/dev/null 2>&1 && return
    if command -v rustup >/dev/null && rustup component add "$2"; then return; fi
    echo "missing: cargo $1. Add it with: rustup component add $2"
    return 1
}

deny() {
    if ! command -v cargo-deny >/dev/null; then
        echo "installing cargo-deny $DENY_VERSION; this takes some minutes, once ..."
        CARGO_TARGET_DIR=$PWD/target/cargo-deny \
            cargo install --quiet --locked --version "$DENY_VERSION" cargo-deny || return 1
        rm -rf target/cargo-deny
    fi
    cargo deny --locked check licenses bans sources || return 1
    # Advisories live in a database that not every machine can reach.
    if timeout 120 cargo deny fetch db >"$log" 2>&1; then
        echo 'advisories: checked against the database as it is now'
        cargo deny --locked check advisories
    else
        echo 'advisories: NOT checked, their database cannot be reached from here'
    fi
}

# Reads from the output of nextest or of `cargo test` how many tests passed and how many failed.
tally() {
    # What nextest did not pass, it failed, timed out or could not start.
    awk '
        /^ *Summary \[/ {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^tests?$/ && $(i + 1) ~ /^run/) { run = $(i - 1); sub(/.*\//, "", run) }
                if ($i ~ /^passed/) ok = $(i - 1)
            }
            good += ok; bad += run - ok
        }
        /^test result: / {
            for (i = 2; i <= NF; i++) {
                if ($i == "passed;") good += $(i - 1)
                if ($i == "failed;") bad += $(i - 1)
            }
        }
        END { print good + 0, bad + 0 }' "$1"
}

# Runs a command that tests, and counts each test; $1 is how many must have run at least.
count_tests() {
    local least=$1 status=0 good bad
    shift
    heading "$*"
    "$@" 2>&1 | tee "$log" || status=1
    read -r good bad < <(tally "$log")
    pass "$good"
    fail "$bad"
    # A build that fails, or a run that ran nothing, has no failing test to count.
    if { [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; } || [ $((good + bad)) -lt "$least" ]; then
        fail 1
        echo "FAILED: $* did not run to its end"
    fi
}

# Runs the commands that README.md shows and counts each block.
count_readme() {
    heading README
    local status=0 good bad last
    if ! cargo build --locked --bin foreland; then
        fail 1
        echo 'FAILED: there is no binary to try README.md with'
        return
    fi
    FORELAND_BIN=${CARGO_TARGET_DIR:-target}/debug/foreland bash tests/readme.sh 2>&1 | tee "$log" || status=1
    last=$(sed -n 's/^readme: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log" | tail -n 1)
    read -r good bad <<<"${last:-0 0}"
    pass "$good"
    fail "$bad"
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then fail 1; fi
}

export CARGO_TERM_COLOR=never
step tools tools
step formatting cargo fmt --check
step clippy cargo clippy --locked --all-targets -- -D warnings
step dependencies deny
if cargo nextest --version >/dev/null 2>&1; then
    count_tests 1 cargo nextest run --locked --no-fail-fast
    # nextest leaves out the examples in the documentation.
    count_tests 0 cargo test --locked --doc
else
    count_tests 1 cargo test --locked --no-fail-fast
fi
count_readme
finished=yes
