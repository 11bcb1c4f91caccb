#!/usr/bin/env bash
# docs/parity.md: every test that it names must exist, and every row has a state. Counts them.
# A test is named crate::module::…::name; it is looked for by its attribute and name among the crate's sources, in the file
# of its module: asking cargo would build everything.
set -euo pipefail
cd "$(dirname "$0")/../.."
page=${1:-docs/parity.md}
faults=0
fault() {
    echo "parity: $1"
    faults=$((faults + 1))
}

folder_of() {
    case $1 in
        autoscaler | activator | queue-proxy | rouse | loadtest) echo "$1" ;;
        sim | wired | golden | peers) echo "tests/$1" ;;
        *) echo "crates/$1" ;;
    esac
}

# exists NAME: is there a test of this name in a file whose path has all modules that NAME gives?
exists() {
    local parts folder name file module
    parts=(${1//::/ })
    folder=$(folder_of "${parts[0]}")
    name=${parts[-1]}
    [ -d "$folder" ] || return 1
    while read -r file; do
        for module in "${parts[@]:1:${#parts[@]}-2}"; do
            # `mod tests { … }` stands within the file of its module.
            [[ $module = tests || /$file/ = *"/$module/"* || /$file = *"/$module.rs" ]] || continue 2
        done
        grep -B4 -E "^ *(async )?fn $name\(" "$file" | grep -qE '#\[(tokio::)?test' && return 0
    done < <(grep -rlE "fn $name\(" --include='*.rs' "$folder" | grep -v /target/)
    return 1
}

tested=0 not_applicable=0 open=0
while IFS='|' read -r _ row _ state by _; do
    row=${row// /} state=$(xargs <<< "$state")
    count=1
    if [[ $row =~ ^[A-Z]([0-9]+)–[A-Z]([0-9]+)$ ]]; then
        count=$((10#${BASH_REMATCH[2]} - 10#${BASH_REMATCH[1]} + 1))
    fi
    case $state in
        tested)
            tested=$((tested + count))
            names=$(grep -oE '`[a-z-]+::[a-z0-9_:]+`' <<< "$by" | tr -d '`' || true)
            [ -n "$names" ] || fault "$row says tested, and names no test"
            for name in $names; do
                exists "$name" || fault "$row: there is no test $name"
            done
            ;;
        'not applicable')
            not_applicable=$((not_applicable + count))
            [ -n "${by// /}" ] || fault "$row says not applicable, and not why"
            ;;
        open) open=$((open + count)) ;;
        *) fault "$row: the state is tested, not applicable or open, and not \"$state\"" ;;
    esac
done < <(grep -E '^\| [A-Z][0-9]+' "$page")

all=$((tested + not_applicable + open))
# Knative's checklist has so many rows; one that is lost here would be a hole that nobody sees.
[ "$all" = 287 ] || fault "there are $all rows, and not 287"
echo "parity: $all rows: $tested tested, $not_applicable not applicable, $open open"
exit $((faults != 0))
