# SPDX-License-Identifier: Apache-2.0
# For the scripts of this folder: apt with lists and a cache of its own below a work directory, so
# that the system's stay as they are, and neither root nor fresh lists of the system are needed.

# private_apt WORK [SOURCE]: from here on the commands of apt work below WORK, on the package
# sources of this machine or on the SOURCE alone (a line of sources.list). apt's words are in
# WORK/log. Returns apt's status.
private_apt() {
    mkdir -p "$1/apt/state/lists/partial" "$1/apt/cache/archives/partial"
    : >"$1/apt/status"
    cat >"$1/apt/apt.conf" <<CONF
Dir::State "$1/apt/state";
Dir::State::lists "$1/apt/state/lists";
Dir::State::status "$1/apt/status";
Dir::Cache "$1/apt/cache";
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
CONF
    if [ $# -gt 1 ]; then
        echo "$2" >"$1/apt/sources.list"
        cat >>"$1/apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$1/apt/sources.list";
Dir::Etc::sourceparts "$1/apt/none";
CONF
    fi
    export APT_CONFIG="$1/apt/apt.conf"
    apt-get -q update >"$1/log" 2>&1
}
