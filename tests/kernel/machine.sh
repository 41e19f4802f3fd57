# SPDX-License-Identifier: Apache-2.0
# Sourced by the shell tests of this room: boots the image in QEMU and looks at its console.
set -u
image=${HOLDFAST_ELF:-${BUILD:-build}/holdfast.elf}
scratch=${TEST_DIR:-$(mktemp -d)}
console=$scratch/console
passed=65 # what isa-debug-exit makes of SELFTEST_EXIT_PASSED

if ! command -v qemu-system-x86_64 >/dev/null; then
    echo "qemu-system-x86_64 is not installed"
    exit 77
fi
if [ ! -f "$image" ]; then
    echo "$image has not been made: make kernel"
    exit 77
fi

# boot SECONDS COMMAND-LINE [QEMU ARGUMENT...]: returns QEMU's exit code, 124 after SECONDS. Later
# arguments win, so that a test can ask for another machine.
boot() {
    local seconds=$1 words=$2
    shift 2
    timeout -k 5 "$seconds" qemu-system-x86_64 -machine q35 -accel tcg -cpu max -m 256 \
        -display none -no-reboot -nodefaults -serial "file:$console" \
        -device isa-debug-exit,iobase=0xf4,iosize=0x04 \
        -kernel "$image" -append "console=serial panic=exit $words" "$@" </dev/null
}

fail() {
    echo "$1"
    [ -f "$console" ] && cat "$console"
    exit 1
}

# must_show PATTERN...: every extended regular expression matches a line of the console.
must_show() {
    local pattern
    for pattern in "$@"; do
        grep -Eq -- "$pattern" "$console" || fail "the console does not show: $pattern"
    done
}

# selftest NAME [QEMU ARGUMENT...]: the group inside of the image passes. $words, if set, goes to
# the kernel's command line too.
selftest() {
    local name=$1
    shift
    boot 120 "selftest=$name ${words:-}" "$@"
    local code=$?
    [ "$code" = "$passed" ] || fail "selftest=$name: QEMU ended with $code, not $passed"
    must_show "selftest $name: passed"
    grep -E "selftest: " "$console"
}
