#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Brings the source of one third-party package: downloads what third_party/lock names (once, into a
# cache that `make clean` leaves alone), checks it against the lock's SHA-256 sums, unpacks it to
# DESTINATION/PACKAGE and applies Debian's patches in their order.
#
#     third_party/fetch.sh PACKAGE DESTINATION
#
# The files come from the Debian mirror that this machine uses already, through apt.sh. Needs apt,
# tar, xz and patch; not dpkg-dev. To bring another package, add its lines to the lock.
#
# DESTINATION/PACKAGE/.fetched holds the lock's lines of what lies there; it is written last, so an
# interrupted run is repeated.
set -eu

SUITE=trixie # whose source packages the lock names; newer than the build machine's may be
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
    echo "fetch.sh: $*" >&2
    exit 1
}

[ $# -eq 2 ] || fail "usage: third_party/fetch.sh PACKAGE DESTINATION"
package=$1
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
lock=$here/lock
cache=$here/../.cache/third_party
mkdir -p "$2" "$cache"
destination=$(cd "$2" && pwd)
cache=$(cd "$cache" && pwd)
target=$destination/$package

wanted=$(grep "^$package " "$lock") || fail "$lock has no line for '$package'"
version=$(echo "$wanted" | awk 'NR == 1 { print $2 }')

if [ -f "$target/.fetched" ] && [ "$(cat "$target/.fetched")" = "$wanted" ]; then
    touch "$target/.fetched" # so that make sees it newer than the lock
    exit 0
fi

work=$(mktemp -d "$destination/.$package.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

matches() { # FILE SHA256
    [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status
}

# The part of the mirror's address that stands before /dists, as apt itself would use it.
mirror() {
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    apt-get update --print-uris 2>/dev/null |
        sed -n "s#^'\([^']*\)/dists/$codename/InRelease'.*#\1#p" | head -n 1
}

# apt reads the suite's source packages, from the mirror.
read_source_lists() {
    [ -r "$KEYRING" ] || fail "$KEYRING is missing: install debian-archive-keyring"
    address=$(mirror)
    [ -n "$address" ] || fail "apt-get names no Debian mirror: check /etc/apt/sources.list"
    private_apt "$work" "deb-src [signed-by=$KEYRING] $address $SUITE main" || {
        cat "$work/log" >&2
        fail "apt cannot read $SUITE's package lists: is the mirror reachable, the clock right?"
    }
}

moved_on() {
    offered=$(apt-cache showsrc "$package" 2>/dev/null |
        sed -n 's/^Version: //p' | sort -u | tr '\n' ' ')
    fail "the mirror has no $package $version any more; it offers: ${offered:-nothing}
fetch.sh: read what changed, then put the new version, file names and SHA-256 sums into $lock"
}

download() {
    echo "  FETCH   $package $version"
    read_source_lists
    cd "$work"
    apt-get source --print-uris --only-source "$package=$version" >"$work/log" 2>&1 || moved_on
    # Parts are taken one by one: a mirror may lack a .dsc, which is not needed.
    for part in tar diff; do
        apt-get -q source --download-only --only-source "--$part-only" "$package=$version" \
            >"$work/log" 2>&1 || {
            cat "$work/log" >&2
            fail "cannot download the $part part of $package $version"
        }
    done
    cd "$here"
}

# Every locked file is in the cache and has its checksum after this.
ensure_cached() {
    missing=no
    while read -r _ _ file sum; do
        matches "$cache/$file" "$sum" || missing=yes
    done <<LIST
$wanted
LIST
    [ $missing = no ] && return
    download
    while read -r _ _ file sum; do
        [ -f "$work/$file" ] || fail "$package $version has no file $file: correct $lock"
        matches "$work/$file" "$sum" ||
            fail "$file differs from the lock: SHA-256 $(sha256sum <"$work/$file" |
                cut -d ' ' -f 1), not $sum. Do not build from it before you know why."
        mv "$work/$file" "$cache/$file"
    done <<LIST
$wanted
LIST
}

unpack() {
    mkdir "$work/source" "$work/patches"
    while read -r _ _ file _; do
        case $file in
        *.orig*.tar.*) tar -xf "$cache/$file" -C "$work/source" --strip-components=1 ;;
        *.debian.tar.*) tar -xf "$cache/$file" -C "$work/patches" ;;
        *) fail "$lock: '$file' is neither an orig nor a debian tar file" ;;
        esac
    done <<LIST
$wanted
LIST
    series=$work/patches/debian/patches/series
    [ -f "$series" ] || return 0
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$series" | while read -r patch _; do
        patch -d "$work/source" -p1 --batch --silent <"$work/patches/debian/patches/$patch" ||
            fail "$package: Debian's patch $patch does not apply"
    done
}

ensure_cached
unpack
rm -rf "$target"
mv "$work/source" "$target"
echo "$wanted" >"$target/.fetched"
