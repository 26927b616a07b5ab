#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test-manual.sh SOURCE: public headers, version map and manual pages name the same functions; pages are clean and say how a function fails.
set -u
cd "$1" || exit 1
failed=0
dir=$(mktemp -d "${TMPDIR:-/tmp}/sluice-manual.XXXXXX")
trap 'rm -rf "$dir"' EXIT

check() {
	if "$1"; then
		echo "[       OK ] $1"
	else
		echo "[  FAILED  ] $1"
		failed=1
	fi
}

# sluice_plugin_init is a function that a plugin defines
pages_functions() {
	cat docs/man/*.3 | sed -n 's/^\.Nm \(sluice_[a-z0-9_]*\).*/\1/p' |
		grep -vxE 'sluice_(error|handler|plugin|plugin_init)' | LC_ALL=C sort -u
}

headers_have_functions() {
	tests/support/public-functions.sh include/sluice/*.h >"$dir/headers"
	[ "$(wc -l <"$dir/headers")" -ge 58 ] && grep -qx sluice_spawn "$dir/headers"
}

map_names_what_headers_declare() {
	sed -n 's/^\t\(sluice_[a-z0-9_]*\);$/\1/p' src/libsluice.map | LC_ALL=C sort >"$dir/map"
	diff "$dir/headers" "$dir/map"
}

pages_name_what_headers_declare() {
	pages_functions >"$dir/pages"
	diff "$dir/headers" "$dir/pages"
}

pages_have_synopsis_and_errors() {
	local bad=0 f page

	while read -r f; do
		page=$(grep -l "^\.Nm $f\b" docs/man/*.3)
		grep -qE "^\.F[no] $f\b" "$page" || { echo "$page: no synopsis of $f"; bad=1; }
		grep -qE '^\.(Sh ERRORS|Ss Errors)' "$page" || { echo "$page: no errors"; bad=1; }
	done <"$dir/headers"
	return $bad
}

pages_have_aliases() {
	local bad=0 f

	while read -r f; do
		[ -e "docs/man/$f.3" ] || grep -q "'${f#sluice_}'" docs/meson.build ||
			{ echo "$f: no alias in docs/meson.build"; bad=1; }
	done <"$dir/headers"
	return $bad
}

# Every flag that the command's table has is in sluice(1) and docs/cli.md, and no other.
flags_are_documented() {
	sed -n 's/^\t{ "\([a-z-]*\)", [^ ]*, \(true\|false\).*/\1/p' src/cli/run_options.c | LC_ALL=C sort >"$dir/flags"
	grep -qx fs-read "$dir/flags" || return 1
	sed -n 's/^\.It Fl \([a-zA-Z] , \)\{0,1\}-\([a-z-]*\).*/\2/p' docs/man/sluice.1 | LC_ALL=C sort >"$dir/page"
	diff "$dir/flags" "$dir/page" || return 1
	sed -n 's/^| `\(-[a-zA-Z], \)\{0,1\}--\([a-z-]*\).*/\2/p' docs/cli.md | LC_ALL=C sort >"$dir/cli"
	diff "$dir/flags" "$dir/cli"
}

pages_are_clean() {
	command -v mandoc >/dev/null || { echo "mandoc is not installed"; return 1; }
	mandoc -Tlint -Wwarning docs/man/*.[13]
}

# Files that the documents point to.
links_lead_somewhere() {
	local bad=0 file target

	while IFS=: read -r file target; do
		[ -e "$(dirname "$file")/$target" ] || { echo "$file: $target"; bad=1; }
	done < <(grep -oE '\]\([^)#:]+' README.md docs/*.md | sed 's/\](//')
	return $bad
}

hazards_are_listed() {
	tests/hazard/list.sh >"$dir/list"
	grep -q hazard_A1_ "$dir/list" && diff "$dir/list" <(grep '^|' docs/hazards.md) ||
		{ echo "tests/hazard/list.sh --write puts the table right"; return 1; }
}

for name in headers_have_functions map_names_what_headers_declare pages_name_what_headers_declare \
	pages_have_synopsis_and_errors pages_have_aliases flags_are_documented pages_are_clean links_lead_somewhere hazards_are_listed; do
	check $name
done
exit $failed
