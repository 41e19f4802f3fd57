#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Brings Debian packages without installing them: downloads those of a group of third_party/packages
# (once, into a cache that `make clean` leaves alone) and unpacks them to DESTINATION/GROUP.
#
#     third_party/unpack.sh GROUP DESTINATION
#
# They are the newest that this machine's package sources have; apt checks their signatures. Of a
# package that only names the newest kernel, the kernel comes.
#
# DESTINATION/GROUP/.fetched holds the names of what lies there; it is written last, so an
# interrupted run is repeated.
set -eu

fail() {
    echo "unpack.sh: $*" >&2
    exit 1
}

[ $# -eq 2 ] || fail "usage: third_party/unpack.sh GROUP DESTINATION"
group=$1
here=$(cd "$(dirname "$0")" && pwd)
. "$here/apt.sh"
wanted=$(awk -v group="$group" '$1 == group { print $2 }' "$here/packages")
[ -n "$wanted" ] || fail "$here/packages has no group '$group'"
mkdir -p "$2" "$here/../.cache"
target=$(cd "$2" && pwd)/$group
cache=$(cd "$here/../.cache" && pwd)/$group

if [ -f "$target/.fetched" ] && [ "$(cat "$target/.fetched")" = "$wanted" ]; then
    touch "$target/.fetched" # so that make sees it newer than the list
    exit 0
fi

work=$(mktemp -d "$target.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# linux-image-cloud-amd64 and its like have no files: the kernel's own package is what they need.
with_files() { # PACKAGE
    case $1 in
    linux-image-*)
        kernel=$(apt-cache depends "$1" | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p')
        echo "${kernel:-$1}"
        ;;
    *) echo "$1" ;;
    esac
}

download() {
    echo "  FETCH  " $wanted
    private_apt "$work" || {
        cat "$work/log" >&2
        fail "apt cannot read the package lists: is the mirror reachable, the clock right?"
    }
    mkdir "$work/packages"
    (
        cd "$work/packages"
        for package in $wanted; do
            with_files "$package"
        done | xargs apt-get -q download >"$work/log" 2>&1
    ) || {
        cat "$work/log" >&2
        fail "cannot download the packages of group $group"
    }
    echo "$wanted" >"$work/packages/names"
    rm -rf "$cache"
    mv "$work/packages" "$cache"
}

if [ ! -f "$cache/names" ] || [ "$(cat "$cache/names")" != "$wanted" ]; then
    download
fi
for package in "$cache"/*.deb; do
    dpkg-deb --extract "$package" "$work/root"
done
rm -rf "$target"
mv "$work/root" "$target"
echo "$wanted" >"$target/.fetched"
