#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that the tests need: a C compiler for the race detector, and peers to talk to. Without
# the right to do it, it only says what to install.
set -euo pipefail

missing=()

# need PACKAGE TEST... adds the package if the test fails.
need() {
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}

compiles() { echo '#include <stdlib.h>' | cc -E -; }
openbsd_nc() { nc -h 2>&1 | grep -q OpenBSD; }
# Debian's Python is looked for by its path: another one may come first.
websockets() { python3 -c 'import websockets' || /usr/bin/python3 -c 'import websockets'; }
has_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable; }

need gcc command -v cc
need libc6-dev compiles
need netcat-openbsd openbsd_nc
need socat command -v socat
need openssl command -v openssl
need python3-websockets websockets
need iproute2 command -v ip
need iptables command -v iptables
need nodejs command -v node
need npm command -v npm
need chromium has_chromium

if [ ${#missing[@]} -eq 0 ]; then
	exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "tests need these Debian packages, or their like: ${missing[*]}" >&2
	exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
echo "installing ${missing[*]}"
if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	echo "could not install: ${missing[*]}" >&2
	exit 1
fi
