#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=400
# Goal: no input of the corpus, and none that a few seconds of fuzzing make of it, breaks anything;
# and flipped bits of a small and a large pool's metadata (a sample of them) are seen or do no harm.
set -eu
for program in "$BUILD"/fuzz/fuzz_*; do
    [ -x "$program" ] && [ ! -d "$program" ] || continue
    target=${program##*/fuzz_}
    echo "== $target"
    "$program" -runs=0 "-artifact_prefix=$TEST_DIR/" "tests/fuzz/corpus/$target" \
        > "$TEST_DIR/corpus.log" 2>&1 ||
        { tail -n 60 "$TEST_DIR/corpus.log"; exit 1; }
    CORPUS=$TEST_DIR tests/fuzz/run "$BUILD" 3 "$target"
done
echo "== bit flips"
"$BUILD/host/tests/fuzz/bit_flips" 500
"$BUILD/host/tests/fuzz/flip_sample" 5000 20000
