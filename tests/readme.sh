#!/usr/bin/env bash
# Runs the commands that README.md shows and holds what they print against what README.md says they print.
#
#   ```console         `$ ` begins a command (a `\` at its end continues it); the lines after it are its output,
#                      in which … stands for any part of a line, or alone for any number of lines.
#                      A command that shows no output must succeed. One that ends in <<'EOF' goes on to the line EOF.
#   ```console skip    is not run; an HTML comment right above it says why.
#
# `./foreland demo`, `files` and `serve` are started for the commands after them, and stopped at the end. Commands run
# in a folder of their own, which is empty at first.
# FORELAND_BIN names a binary to use; without it one is built. The last line is `readme: N passed, N failed`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readme=${1:-README.md}
ports=(8080 8081 8082 8090 9900 9990)
binary=${FORELAND_BIN:-}

passed=0
failed=0
servers=()
commands=()
work=$(mktemp -d)
here=$work/here
mkdir "$here"

cleanup() {
    local server
    for server in "${servers[@]}"; do kill -KILL "$server" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT

pass() { passed=$((passed + 1)); printf 'ok    %s\n' "$1"; }
fail() { failed=$((failed + 1)); printf 'FAIL  %s\n' "$1"; }
indent() { sed 's/^/        /'; }

# Whether the file $2 is what the file $1 says, with … in $1 for anything.
matches() {
    LC_ALL=C awk '
        function fits(text, pattern,    parts, count, i, at, last) {
            count = split(pattern, parts, "…")
            if (count < 2) return text == pattern
            if (index(text, parts[1]) != 1 && parts[1] != "") return 0
            text = substr(text, length(parts[1]) + 1)
            for (i = 2; i < count; i++) {
                if (parts[i] == "") continue
                at = index(text, parts[i])
                if (!at) return 0
                text = substr(text, at + length(parts[i]))
            }
            last = length(parts[count])
            return length(text) >= last && substr(text, length(text) - last + 1) == parts[count]
        }
        { sub(/[ \t\r]+$/, "") }
        FILENAME == ARGV[1] { pattern[++patterns] = $0; next }
        { line[++lines] = $0 }
        END {
            while (patterns && pattern[patterns] == "") patterns--
            while (lines && line[lines] == "") lines--
            p = l = 1
            while (l <= lines) {
                if (p <= patterns && pattern[p] == "…") { star = p++; from = l }
                else if (p <= patterns && fits(line[l], pattern[p])) { p++; l++ }
                else if (star) { p = star + 1; l = ++from }
                else exit 1
            }
            while (p <= patterns && pattern[p] == "…") p++
            exit p <= patterns
        }' "$1" "$2"
}

# The matcher is tried on what it must refuse before it is believed.
check_matcher() {
    local wanted=$work/wanted got=$work/got verdict expected shown
    while IFS='|' read -r verdict expected shown; do
        printf '%b\n' "$expected" >"$wanted"
        printf '%b\n' "$shown" >"$got"
        if matches "$wanted" "$got"; then [ "$verdict" = yes ]; else [ "$verdict" = no ]; fi || {
            fail "the matcher: \`$expected\` against \`$shown\` should be $verdict"
            return
        }
    done <<'CASES'
yes|a|a
yes|a|a \r
no|a|b
no|a|a\nb
no|a\nb|a
no||a
yes|…|
yes|…|a\nb
yes|a…|a
yes|age: …|age: 12
no|age: …|stage: 12
yes|ttl=… s|ttl=12 s
no|ttl=… s|ttl=12 m
yes|a…b…c|a1b2c
no|a…b…c|a1c2b
no|a…a|a
no|a.c|abc
no|[a]*|a
yes|a\n…\nd|a\nb\nc\nd
yes|a\n…\nd|a\nd
yes|…\nb\n…\nb|a\nb\nb\nc\nb
no|a\n…\nd|a\nb\nc
no|a\n…\nd\ne|a\nb\nd
CASES
    pass 'the matcher accepts and refuses what it should'
}

# Fails where something accepts connections already: what is typed here must not reach it.
check_ports() {
    local port
    for port in "${ports[@]}"; do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            fail "port $port is taken: stop what listens there"
            return 1
        fi
    done
}

# Starts a server and waits, at most half a minute, until the admin address that it prints says that it is ready, or,
# where it has none, until it says that it listens.
start_server() {
    local tries admin server said=$work/server-${#servers[@]}
    : >"$said"
    (cd "$here" && exec "$binary" "$@") >"$said" 2>&1 </dev/null &
    server=$!
    servers+=("$server")
    commands+=("foreland $*")
    for ((tries = 0; tries < 300; tries++)); do
        admin=$(grep -m 1 -o 'http://[^ ]*/metrics' "$said" || true)
        if [ -n "$admin" ] && curl -sf -o /dev/null --max-time 2 "${admin%metrics}readyz"; then
            cat "$said"
            return
        fi
        if [ "$1" = files ] && grep -q 'listening on' "$said"; then
            cat "$said"
            return
        fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    echo "\`foreland $*\` did not become ready"
    cat "$said"
    return 1
}

# Stops the server with the number $1.
stop_server() {
    local server=${servers[$1]} name=${commands[$1]} tries status=0
    if ! kill -TERM "$server" 2>/dev/null; then
        fail "\`$name\` ended by itself"
        return
    fi
    # It has half a minute to finish what it serves.
    for ((tries = 0; tries < 400; tries++)); do
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    if kill -0 "$server" 2>/dev/null; then
        fail "\`$name\` does not stop within 40 s of SIGTERM"
        return
    fi
    wait "$server" || status=$?
    if [ "$status" -eq 0 ]; then
        pass "\`$name\` stops on SIGTERM"
    else
        fail "\`$name\` stops with status $status"
    fi
}

# The last one that was started first: it may need the others.
stop_servers() {
    local i
    for ((i = ${#servers[@]} - 1; i >= 0; i--)); do stop_server "$i"; done
    servers=()
}

# Runs the command $1, whose output README.md shows in the file $2, and says what is wrong with it.
run_command() {
    local command=$1 wanted=$2 got=$work/got status=0
    if [[ $command =~ ^\./foreland\ (demo|files|serve) ]]; then
        local arguments
        read -ra arguments <<<"${command#./foreland }"
        start_server "${arguments[@]}" >"$got" 2>&1 || { indent <"$got"; return 1; }
    else
        (cd "$here" && timeout 60 bash -c "${command//.\/foreland/$binary}") >"$got" 2>&1 </dev/null || status=$?
    fi
    if [ "$status" -eq 124 ]; then
        echo "\`$command\` did not end within 60 s" | indent
        return 1
    fi
    if [ ! -s "$wanted" ]; then
        [ "$status" -eq 0 ] && return
        { echo "\`$command\` ended with status $status"; cat "$got"; } | indent
        return 1
    fi
    matches "$wanted" "$got" && return
    echo "\$ $command" | indent
    sed 's/[ \t\r]*$//' "$got" | { diff -u --label README.md --label printed "$wanted" - || true; } | indent
    return 1
}

# Runs the block between two line numbers, command by command, up to the first that fails.
run_block() {
    local first=$1 last=$2 wanted=$work/wanted command='' line i
    : >"$wanted"
    for ((i = first; i <= last; i++)); do
        line=${lines[i]}
        if [[ $line == '$ '* ]]; then
            [ -z "$command" ] || run_command "$command" "$wanted" || return 1
            : >"$wanted"
            command=${line#'$ '}
            while [[ $command == *\\ && $i -lt $last ]]; do
                i=$((i + 1))
                command=${command%\\}${lines[i]#'> '}
            done
            if [[ $command == *"<<'EOF'" ]]; then
                until [[ ${lines[i]} == EOF ]]; do
                    [ "$i" -lt "$last" ] || { echo "this has no line EOF: $command" | indent; return 1; }
                    i=$((i + 1))
                    command+=$'\n'${lines[i]}
                done
            fi
        elif [ -z "$command" ]; then
            echo "a console block begins with \`\$ \`, not with: $line" | indent
            return 1
        else
            printf '%s\n' "$line" >>"$wanted"
        fi
    done
    [ -n "$command" ] && run_command "$command" "$wanted"
}

try_block() {
    if run_block "$2" "$3" >"$work/why"; then
        pass "$1"
    else
        fail "$1"
        cat "$work/why"
    fi
}

# A block is skipped for the reason that the comment above it gives.
skip_block() {
    if [[ $2 == *'-->' ]]; then printf 'skip  %s\n' "$1"; else fail "$1: skipped without a reason above it"; fi
}

# Walks through README.md, block by block.
run_readme() {
    local i open='' kind='' above='' blocks=0 name
    for ((i = 0; i < ${#lines[@]}; i++)); do
        if [ -z "$open" ]; then
            case ${lines[i]} in
                '```console'*) open=$((i + 1)) kind=${lines[i]#'```'} ;;
                '```'*) open=$((i + 1)) kind=other ;;
                ?*) above=${lines[i]} ;;
            esac
        elif [[ ${lines[i]} == '```' ]]; then
            name="$readme:$open  ${lines[open]}"
            case $kind in
                console) blocks=$((blocks + 1)) && try_block "$name" "$open" $((i - 1)) ;;
                'console skip') skip_block "$name" "$above" ;;
                console*) fail "$name: \`$kind\` is neither \`console\` nor \`console skip\`" ;;
            esac
            open='' above=''
        fi
    done
    [ "$blocks" -gt 0 ] || fail "$readme has no console block"
}

check_matcher
if [ -z "$binary" ]; then
    cargo build --locked --quiet --bin foreland
    binary=${CARGO_TARGET_DIR:-target}/debug/foreland
fi
binary=$(readlink -f "$binary")
if [ ! -x "$binary" ]; then
    fail "there is no binary at $binary"
elif [ ! -f "$readme" ]; then
    fail "there is no $readme"
elif check_ports; then
    mapfile -t lines <"$readme"
    run_readme
    stop_servers
fi
printf 'readme: %s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
