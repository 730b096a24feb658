# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by the scripts under tools/: where results are cached, how a key is made, how
# packages come from Debian. Source this file. It has no effect of its own, but it ends
# a script that cannot work here.

# A failure inside $(...) ends the subshell too, so that no half-done result is kept.
shopt -s inherit_errexit

# Without HOME, the shell takes the home directory from the password file.
export HOME=${HOME:-~}

# Everything that takes long to download or to build is kept here, outside the clone.
cache=${IOIPC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/io_uring_ipc}

# The version of Linux for which everything here is built, and the suite with its
# source.
series=${KERNEL:-7.3}
kernel_suite=trixie-backports

say() {
	printf '%s\n' "$*" >&2
}

die() {
	say "${0##*/}: $*"
	exit 1
}

# make and kbuild take a name with a space for two names, and a name with a colon for a
# rule.
for path in "$(readlink -f "${BASH_SOURCE[0]%/*}/..")" "$cache"; do
	[[ $path != *[[:space:]:]* ]] ||
		die "nothing can be built with '$path', because make does not take a path with a space or a colon"
done
unset path

need_cache() {
	mkdir -p "$cache" 2>/dev/null || true
	[[ -w $cache ]] ||
		die "$cache cannot be written: set IOIPC_CACHE to a directory for what is downloaded and built"
}

# The first 16 digits of the SHA-256 of standard input.
key_of() {
	sha256sum | cut -c1-16
}

# Prints the directory where cargo keeps what it builds for the host tests: building the
# crates that they need takes longer than running the tests.
cargo_target() {
	echo "$cache/cargo-$( (cat "$top/Cargo.lock" && /usr/bin/rustc --version) | key_of)"
}

# Prints a line every 30 seconds, with the length of a log and its last line, until the
# listening process ends.
tell_progress() {
	local log=$1 listener=$2 start=$SECONDS
	while kill -0 "$listener" 2>/dev/null; do
		sleep 1
		if (((SECONDS - start) % 30 == 29)); then
			say "  $((SECONDS - start)) s, $(wc -l <"$log") lines: $(tail -n 1 "$log" | cut -c1-70)"
		fi
	done
}

# Runs a command that may take minutes, with its output in a log file. The command runs
# in the foreground, so that Ctrl-C ends it.
with_progress() {
	local what=$1 log=$2 start=$SECONDS ticker status=0
	shift 2
	say "$what ... (log: $log)"
	: >"$log"
	tell_progress "$log" "$BASHPID" 9>&- &
	ticker=$!
	"$@" </dev/null >"$log" 2>&1 || status=$?
	kill "$ticker"
	wait "$ticker" 2>/dev/null || true
	if ((status)); then
		tail -n 30 "$log" >&2
		say "$what: failed, the whole log is in $log"
		return "$status"
	fi
	say "$what: done in $((SECONDS - start)) s"
}

# Runs a command under a lock: only one script at a time downloads or extracts.
with_lock() {
	local name=$1
	shift
	need_cache
	(
		if ! flock -w 10 9; then
			say "${0##*/}: another script has the lock, waiting for $cache/$name.lock"
			flock 9
		fi
		"$@"
	) 9>"$cache/$name.lock"
}

# Builds the programs of one directory in another one. Two scripts that build the same
# programs wait for each other.
build_programs() {
	local from=$1 to=$2
	shift 2
	mkdir -p "$to"
	flock "$to" make -s -C "$from" O="$to" "$@" >&2
}

# Runs a command under a lock, with $scratch: an empty directory, next to the place for
# the results. At the end, the files in $scratch are unfinished and are removed. At the
# start, they are left from a script that was killed, because no other script has the
# lock.
with_scratch() {
	with_lock "$1" in_scratch "$cache/$1.scratch" "${@:2}"
}

in_scratch() {
	scratch=$1
	shift
	rm -rf "$scratch"
	# bash runs a trap after the interrupted command has ended, so the command adds
	# no more files.
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	trap 'rm -rf "$scratch"' EXIT
	mkdir "$scratch"
	"$@"
}

# Makes $work, a directory for the files of this script, which is removed when the
# script ends. All processes that the script starts hold a lock on the directory. A
# directory without a lock was left by a script that was killed. This function looks for
# such directories under the lock `work`.
make_work() {
	local directory=$cache/work left guard
	need_cache
	mkdir -p "$directory"
	exec {guard}>"$cache/work.lock"
	flock "$guard"
	for left in "$directory"/*; do
		[[ ! -d $left ]] || flock -n "$left" rm -rf "$left" || true
	done
	work=$(mktemp -d "$directory/${0##*/}.XXXXXX")
	exec {work_lock}<"$work"
	flock "$work_lock"
	exec {guard}>&-
	trap 'rm -rf "$work"' EXIT
}

debian_release() {
	# shellcheck disable=SC1091
	(. /etc/os-release 2>/dev/null && [[ ${ID:-} == debian ]] && echo "${VERSION_ID:-}")
}

install_packages() {
	with_progress "apt-get update" "$cache/apt.log" apt-get update -q
	with_progress "installing $*" "$cache/apt.log" \
		env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# Installs the Debian packages that are missing. Where it cannot, it fails with one
# message that names them all.
need_packages() {
	local missing=() package
	for package in "$@"; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
			missing+=("$package")
	done
	((${#missing[@]})) || return 0
	if ((EUID)) || [[ ! $(debian_release) =~ ^1[23]$ ]]; then
		die "these packages are missing (Debian's names): ${missing[*]}"
	fi
	with_lock packages install_packages "${missing[@]}"
}

# Runs an apt command on a suite that this machine does not install from, with separate
# package lists. Uses the mirror of this machine if it looks like a Debian mirror.
apt_from_suite() {
	local suite=$1 command=$2 dir=$cache/apt/$1 mirror
	shift 2
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	touch "$dir/status"
	mirror=$(apt-get indextargets --format "\$(REPO_URI)" 'Created-By: Packages' |
		grep '/debian/$' | head -n 1 || true)
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
		"${mirror:-http://deb.debian.org/debian/} $suite main" \
		>"$dir/sources.list"
	"$command" -q -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$dir/sources.list" \
		-o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$dir/lists" \
		-o Dir::Cache="$dir" -o Dir::State::status="$dir/status" "$@"
}

# Prints the versions of Linux whose source Debian packages in a suite.
packaged_series() {
	apt_from_suite "$1" apt-get update >&2
	apt_from_suite "$1" apt-cache pkgnames linux-source- |
		sed -n 's/^linux-source-\([0-9]\+\.[0-9]\+\)$/\1/p' | sort -V
}

# Prints the path of the newest version of a package in a directory.
find_deb() {
	find "$2" -maxdepth 1 -name "$1_*.deb" | sort -V | tail -n 1
}

# Downloads the newest version of a package of a suite, unless a package that matches
# the pattern is there. Prints the path. apt checks the package against the signed
# index, and the checksum is stored next to the package. Needs $scratch.
downloaded_deb() {
	local suite=$1 package=$2 dir=$cache/downloads deb
	mkdir -p "$dir"
	deb=$(find_deb "$package" "$dir")
	if [[ ! $deb || ! -e $deb.sha256 ]]; then
		say "downloading $package from $suite"
		rm -f "$dir/${package}"_*.deb*
		apt_from_suite "$suite" apt-get update >&2
		(cd "$scratch" && apt_from_suite "$suite" apt-get download "$package" >&2) ||
			die "$package could not be downloaded from $suite"
		deb=$(find_deb "$package" "$scratch")
		[[ $deb ]] || die "the download of $package left nothing"
		(cd "$scratch" && sha256sum "${deb##*/}" >"$deb.sha256")
		mv "$deb" "$deb.sha256" "$dir"
		deb=$dir/${deb##*/}
	fi
	echo "$deb"
}

# Checks a downloaded package against its stored checksum.
check_deb() {
	(cd "${1%/*}" && sha256sum --quiet -c "$1.sha256" >&2) ||
		die "$1 is corrupt: remove it and its .sha256, and call again"
}

# Downloads a package and checks it.
cached_deb() {
	local deb
	deb=$(downloaded_deb "$@")
	check_deb "$deb"
	echo "$deb"
}
