# shellcheck shell=bash
# For `loom.sh` and `shuttle.sh`: runs models, and fails if none has run, because a name that nothing has would pass.
#
# run_models PACKAGE TARGET_DIR [--test FILE].. [NAME | ARGUMENT OF THE TEST BINARIES]..
run_models() {
    local package=$1 dir=$2 files=() log ran
    shift 2
    while [ "${1-}" = --test ]; do
        files+=(--test "${2:?a file}")
        shift 2
    done
    log=$(mktemp)
    # shellcheck disable=SC2064
    trap "rm -f '$log'" EXIT
    cargo test -p "$package" --profile loom --target-dir "$dir" "${files[@]}" -- "$@" | tee "$log"
    ran=$(awk '/^test result: / { ran += $4 } END { print ran + 0 }' "$log")
    [ "$ran" -gt 0 ] || { echo "no model of that name: $*" >&2; return 1; }
}
