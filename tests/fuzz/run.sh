#!/usr/bin/env bash
# Fuzzes one target for so many seconds: tests/fuzz/run.sh files 600
#
# It starts from tests/fuzz/corpus/TARGET, which is left as it is; what it learns is kept in tests/fuzz/target. It fails
# with the input on a finding.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

target=${1:?which target: $(ls targets | sed 's/\.rs$//' | tr '\n' ' ')}
seconds=${2:-60}

RUSTC_WRAPPER=$PWD/cover.sh cargo build --locked --bin "$target"
learnt=target/corpus/$target
rm -rf target/tmp
mkdir -p "$learnt" target/findings target/tmp
export TMPDIR=$PWD/target/tmp
exec "target/debug/$target" -max_total_time="$seconds" -max_len=512 -dict="corpus/$target.dict" \
    -artifact_prefix=target/findings/ -print_final_stats=1 "$learnt" "corpus/$target"
