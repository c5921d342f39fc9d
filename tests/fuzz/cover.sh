#!/bin/sh
# Builds Foreland so that the fuzzer sees which code an input reaches, and all else as it always is. Stable Rust will do.
# For cargo: RUSTC_WRAPPER
rustc=$1
shift
case " $* " in
*' --crate-name foreland '*)
    set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1
    ;;
esac
exec "$rustc" "$@"
