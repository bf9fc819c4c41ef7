#!/bin/sh
# Build the zoo, hold it against what is published, and publish it if all is well. For cron, systemd and CI: docs/nightly.md.
#
# Usage: nightly.sh, without arguments. From the environment: STATE (folder kept between nights), PUBLISH (where to publish: a
# folder, s3://…), GROUP or ENTRIES (default: all of the manifest), JOBS, MANIFEST, MIRROR (folder), DATASET (NAME=PATH), SCHEDULER,
# ENGINE, REFERENCE, EVALUATE=no, KEEP (days that logs are kept), CAFFE2NEON (the command). Of GROUP, ENTRIES, MIRROR and DATASET
# several, with spaces between.
#
# Exit code 0: all well, published; 1: a model failed, fell behind, or changed upstream, and nothing is published; 2: usage or
# manifest error; 75: another night still runs; 143: stopped by a signal, which the running command was told of and has heeded.
set -eu

if [ $# -gt 0 ]; then # whoever asks for help is not to start a night
    sed -n '/^# /s/^# //p;/^set/q' "$0" >&2
    exit 2
fi

state=${STATE:-nightly}
publish=${PUBLISH:-$state/published}
command=${CAFFE2NEON:-caffe2neon}
mkdir -p "$state/logs"

exec 9>"$state/lock"
if ! flock -n 9; then
    echo "nightly: another run holds $state/lock" >&2
    exit 75
fi

night=$(date -u +%Y-%m-%dT%H%M%SZ)
log=$state/logs/$night.log
summary=$state/logs/$night.md

set -f # names and globs are the manifest's, not this folder's
set -- --output "$state/zoo" --cache "$state/cache" --manifest "${MANIFEST:-zoo.yaml}"
set -- "$@" --progress plain --upstream --against "$publish" --summary "$summary" --report "$state/logs/$night.json"
[ -z "${SCHEDULER:-}" ] || set -- "$@" --scheduler "$SCHEDULER"
[ -n "${SCHEDULER:-}" ] || set -- "$@" --jobs "${JOBS:-1}"
[ -z "${ENGINE:-}" ] || set -- "$@" --engine "$ENGINE"
[ "${EVALUATE:-}" != no ] || set -- "$@" --no-evaluate
[ -z "${REFERENCE:-}" ] || set -- "$@" --reference "$REFERENCE"
for group in ${GROUP:-}; do
    set -- "$@" --group "$group"
done
for mirror in ${MIRROR:-}; do
    set -- "$@" --mirror "$mirror"
done
for dataset in ${DATASET:-}; do
    set -- "$@" --dataset "$dataset"
done
for entry in ${ENTRIES:-}; do
    set -- "$@" "$entry"
done

child= stopped= code=0
stop() {
    stopped=yes
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || :
}
trap stop TERM INT HUP # whichever: a command in the background does not hear the terminal's Ctrl-C

# Run a command and set `code`. In the background, since a shell that waits for one in the foreground, or is a container's first
# process, does not hear signals. It does not keep the lock: one that outlives a killed script must not block the next night.
run() {
    "$@" 9>&- &
    child=$!
    [ -z "$stopped" ] || stop
    wait "$child" || code=$?
    while [ -n "$stopped" ] && kill -0 "$child" 2>/dev/null; do # a signal ends `wait` before the command
        wait "$child" || :
    done
    child=
    [ -z "$stopped" ] || code=143
}

run "$command" zoo build "$@" >>"$log" 2>&1

if [ "$code" -eq 0 ]; then
    # By the report, not all that lies there: what earlier nights refused is there, too, and what the manifest has no more.
    run "$command" zoo publish "$state/zoo" "$publish" --report "$state/logs/$night.json" >"$state/sent" 2>>"$log"
    sent=$(cat "$state/sent")
    rm "$state/sent"
    printf '%s\n' "$sent" >>"$log"
    if [ "$code" -eq 0 ]; then
        printf '\n## Published to %s\n\n```\n%s\n```\n' "$publish" "$sent" >>"$summary"
    else
        rest=$(tail -n +2 "$summary")
        printf '# Zoo: failed\n%s\n\nAll is well but publishing to %s: see the log.\n' "$rest" "$publish" >"$summary"
    fi
elif [ -e "$summary" ]; then
    printf '\nNothing of this went to %s.\n' "$publish" >>"$summary"
fi

for end in log md json; do
    [ ! -e "$state/logs/$night.$end" ] || ln -sf "$night.$end" "$state/logs/latest.$end"
done
find "$state/logs" -name '[0-9]*' -mtime "+${KEEP:-30}" -delete

if [ "$code" -ne 0 ]; then
    echo "nightly: failed ($code), see $log" >&2
    tail -n 40 "$log" >&2
fi
if [ -e "$summary" ]; then
    cat "$summary"
    [ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$summary" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$code"
