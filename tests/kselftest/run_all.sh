#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
#
# Runs the tests in the directory of this script, in a guest that has only busybox, and
# counts:
#
#	run_all.sh [NAME=VALUE]... [PROGRAM]...
#
# Without a PROGRAM, runs all programs in tests.list. NAME=VALUE goes to the
# environment, see the programs. WITHOUT_VARIANTS=NAME,... leaves out the variants with
# these names. The last line has the totals. The status is 1 if any test failed. A
# program that dies counts as one more failure, and so does a program that has not
# printed all the results that it announced.
dir=$(dirname "$0")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0 programs=

count() {
	grep -c -E "$1" "$work/output"
}

for argument in "$@"; do
	case $argument in
	*=*) export "${argument?}" ;;
	*) programs="$programs $argument" ;;
	esac
done
without=$(echo "${WITHOUT_VARIANTS:-}" | sed 's/[^,][^,]*/-V &/g; s/,/ /g')
[ "$programs" ] || programs=$(cat "$dir/tests.list")

for program in $programs; do
	echo "# ---- $program"
	start=$(date +%s)
	{
		# shellcheck disable=SC2086
		"$dir/$program" $without 2>&1
		echo $? >"$work/status"
	} | tee "$work/output"
	status=$(cat "$work/status")
	echo "# $program took $(($(date +%s) - start)) s"
	bad=$(count '^not ok ')
	skip=$(count '^ok .*# SKIP')
	good=$(($(count '^ok ') - skip))
	planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$work/output" | head -n 1)
	# The harness ends with 0, with 1 after failures, and with 4 if all tests were
	# skipped.
	if [ "${planned:-0}" -eq 0 ] ||
		[ $((good + bad + skip)) -ne "$planned" ] ||
		{ [ "$status" -ne 0 ] && [ "$status" -ne 4 ] && [ "$bad" -eq 0 ]; }; then
		echo "# $program: status $status, $((good + bad + skip)) of ${planned:-no} results"
		bad=$((bad + 1))
	fi
	passed=$((passed + good))
	failed=$((failed + bad))
	skipped=$((skipped + skip))
done

echo "# totals: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
