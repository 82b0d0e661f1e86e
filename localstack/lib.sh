# shellcheck shell=bash
# Shared by the scripts of this folder: installs, starts, deploys to and stops the local AWS. To be
# sourced, not run. All state is under .local/, which git ignores.
#
#   LOCAL   which local AWS, by its script in this folder: ministack (the default)
#   PORT    where the local AWS listens, on loopback (4566)
#   STACK   name of the deployed stack (that of stack.sh)
#   PYTHON  the Python to use, as new as the local AWS asks for (one that is found)
#
# What is deployed is in stack.sh; what differs between local AWSs is in ministack.sh and its like.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state=$root/.local
venv=$state/venv
logs=$state/log
running=$state/run
LOCAL=${LOCAL:-ministack}
PORT=${PORT:-4566}
endpoint=http://127.0.0.1:$PORT
# Where `handover`, `aws` and `sam` are.
target=${CARGO_TARGET_DIR:-$root/target}
programs=$target/debug:$venv/bin

# Its logs, and the environments in it, are nobody else's.
mkdir -p "$logs" "$running" && chmod 700 "$state"

say() { printf '%s\n' "$@" >&2; }

# die MESSAGE [WHAT TO DO]…
die() {
    say "error: $1"
    shift
    (($#)) && printf '       %s\n' "$@" >&2
    exit 1
}

[[ $PORT =~ ^[1-9][0-9]{0,4}$ ]] || die "PORT=$PORT is not a port." "Try PORT=4567"
# Dies with the end of the step's log.
die_with_log() {
    say "--- the last lines of .local/log/$1.log"
    tail -n 25 "$logs/$1.log" >&2 || true
    say "---"
    die "$2"
}

# ------------------------------------------------------------------------------- processes
#
# Each process that we start gets a process group of its own. So `stop` ends it with all its children,
# and Ctrl-C reaches only this script, which then stops everything in order.

# start NAME COMMAND…
start() {
    local name=$1 pid
    shift
    set -m # job control, which is what gives groups
    # 9 is the lock (see `lock`). A process that outlives this script must not hold it.
    "$@" 9>&- &
    pid=$!
    set +m
    printf '%s %s\n' "$pid" "$(born "$pid")" >"$running/$name"
}

# When a process began. That tells it from a later process with the same pid.
born() {
    if [[ -r /proc/$1/stat ]]; then
        # Field 22; the second one may hold spaces, so count behind its closing bracket.
        sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 20
    else
        ps -o lstart= -p "$1"
    fi 2>/dev/null || true
}

# pid_of NAME: its pid, whether it still runs or not. Fails if it was not started, or is not ours.
pid_of() {
    local pid birth
    [[ -s $running/$1 ]] || return 1
    read -r pid birth <"$running/$1"
    # If the leader is gone and its group is not, no other process can have got the pid.
    [[ -z $(born "$pid") || $(born "$pid") == "$birth" ]] && echo "$pid"
}

is_running() {
    local pid
    pid=$(pid_of "$1") && kill -0 -- "-$pid" 2>/dev/null
}

# stop NAME: sends its process group SIGTERM, and SIGKILL after ten seconds.
stop() {
    local pid i
    if pid=$(pid_of "$1"); then
        kill -TERM -- "-$pid" 2>/dev/null || true
        kill -CONT -- "-$pid" 2>/dev/null || true
        for ((i = 0; i < 100; i++)); do
            kill -0 -- "-$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -f "$running/$1"
}

# finish NAME MESSAGE: waits for a started process to end, and counts the seconds on a terminal.
finish() {
    local pid began=$SECONDS
    pid=$(pid_of "$1")
    while [[ -t 2 ]] && kill -0 "$pid" 2>/dev/null; do
        printf '\r  %d s ' $((SECONDS - began)) >&2
        sleep 1
    done
    [[ -t 2 ]] && printf '\r\033[K' >&2
    wait "$pid" || die_with_log "$1" "$2"
    rm -f "$running/$1"
}

# Readers stop before what they read from.
stop_all() {
    trap '' INT TERM HUP
    local name
    for name in command setup deploy event-sources emulator; do stop "$name"; done
    rm -f "$running/up" "$state/env"
}

# From here on, when this script ends for any reason, it stops what it started.
stop_all_on_exit() {
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap stop_all EXIT
}

# Allows one run at a time in a checkout. The kernel releases the lock when the process ends.
lock() {
    local python
    python=$(find_python 10)
    exec 9>"$state/lock"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null ||
        die "Another run is under way in this checkout." "Wait for it, or use a second clone with a port of its own: PORT=4567"
}

# ------------------------------------------------------------------------------------ setup

# find_python MINOR: a Python 3.MINOR or newer.
find_python() {
    local candidate minor reason="No Python 3.$1 or newer was found${PYTHON:+ at $PYTHON}."
    local candidates=(python3)
    for minor in {10..14}; do candidates+=("python3.$minor"); done
    # The versions that pyenv has installed and not selected are not on the path.
    candidates+=("${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.*/bin/python3)
    [[ -n ${PYTHON:-} ]] && candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        "$candidate" -c "import sys; sys.exit(sys.version_info < (3, $1))" 2>/dev/null || continue
        reason="$candidate cannot make virtual environments: its modules venv and ensurepip are missing."
        "$candidate" -c 'import ensurepip, venv' 2>/dev/null || continue
        command -v "$candidate"
        return
    done
    die "$reason" \
        "Install Python 3.$1 or newer, with its venv module (on Debian and Ubuntu a package of its own)," \
        "or say where it is: PYTHON=/path/to/python3"
}

# install FOLDER WHAT COMMAND… -- INPUT…: runs COMMAND to fill FOLDER, unless it already did with the
# same inputs, which are texts and files. The stamp is written last, so an interrupted installation
# starts again.
install() {
    local folder=$1 what=$2 command=() stamp
    shift 2
    while [[ $1 != -- ]]; do command+=("$1") && shift; done
    shift
    stamp=$(for input in "$folder" "$@"; do [[ -f $input ]] && cat "$input" || echo "$input"; done | cksum)
    [[ -f $folder/stamp && $(<"$folder/stamp") == "$stamp" ]] && return
    stop setup # It may be left from a run that was killed.
    say "Installing $what"
    rm -rf "$folder" && mkdir -p "$folder"
    start setup "${command[@]}" >"$logs/setup.log" 2>&1
    finish setup "Could not be installed: $what"
    echo "$stamp" >"$folder/stamp"
}

setup() {
    local python requirements=$root/localstack/requirements.txt
    find_python "$python_minor" >/dev/null # Fail at once, not after minutes.
    python=$(find_python 10)
    # Any Python will do, but the one of an earlier run may be gone.
    "$venv/bin/python" -c '' 2>/dev/null || rm -f "$venv/stamp"
    install "$venv" "the tools into .local/venv: about 3 minutes, once" \
        install_packages "$venv" "$python" "$requirements" -- "$requirements"
    setup_emulator
}

# install_packages VENV PYTHON REQUIREMENTS
install_packages() {
    "$2" -m venv "$1"
    "$1/bin/pip" install --disable-pip-version-check --progress-bar off -r "$3"
}

# -------------------------------------------------------------------------------- local AWS

# random BYTES: as hexadecimal digits.
random() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }

# Sets what is needed to reach the local AWS, and removes the user's own AWS settings. The keys are of this run
# alone: who has them can deploy a function, which runs as a program of yours.
environment() {
    local name
    for name in ${!AWS_@}; do unset "$name"; done
    export AWS_ENDPOINT_URL=$endpoint
    AWS_ACCESS_KEY_ID=local$(random 16) AWS_SECRET_ACCESS_KEY=$(random 20)
    export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    export AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
    export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
    export AWS_EC2_METADATA_DISABLED=true AWS_PAGER=
    export NO_PROXY=127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}
    export no_proxy=$NO_PROXY
    export PATH=$PATH:$programs
    export HANDOVER_STACK=$STACK HANDOVER_LOCAL=$LOCAL
    stack_environment
}

start_emulator() {
    # It contains the code of earlier runs' functions.
    rm -rf "$state/tmp" && mkdir "$state/tmp"
    local i began=$SECONDS
    launch_emulator >"$logs/emulator.log" 2>&1
    for ((i = 0; i < 300; i++)); do
        is_running emulator || die_with_log emulator "The local AWS did not start."
        if is_healthy; then
            sed -n 's/^note: //p' "$logs/emulator.log" >&2
            return
        fi
        sleep 0.2
    done
    die_with_log emulator "The local AWS did not get ready within $((SECONDS - began)) seconds."
}

is_healthy() {
    "$venv/bin/python" - "$endpoint$health" 2>/dev/null <<'END'
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=2)
END
}

# The names of the functions, one a line: the folders of functions/ with a program.
functions() {
    local main
    for main in "$root"/functions/*/src/main.rs; do basename "${main%/src/main.rs}"; done
}

# Puts what SAM deploys into .local/stack: the unmodified templates, and a folder for each function, without the debug
# symbols, which would be zipped at each deployment.
pack() {
    local name file folder
    rm -rf "$state/stack" && mkdir "$state/stack"
    for file in "${templates[@]}"; do
        mkdir -p "$state/stack/$(dirname "$file")"
        cp "$root/$file" "$state/stack/$file"
    done
    for name in $(functions); do
        [[ -x $target/debug/$name ]] || die "$target/debug/$name is missing; build it: make build"
        folder=$state/stack/target/lambda/$name
        mkdir -p "$folder"
        strip -o "$folder/bootstrap" "$target/debug/$name"
        for file in "${packed[@]}"; do [[ ! -f $file ]] || cp "$file" "$folder/"; done
    done
}

# aws_text ARGUMENT…: what a call of AWS answers, as text.
aws_text() { "$venv/bin/python" -m awscli --output text "$@"; }

# Deploys the stack, or what has changed of it.
deploy() {
    local architecture parameters=()
    case $(uname -m) in arm64 | aarch64) architecture=arm64 ;; *) architecture=x86_64 ;; esac
    pack
    stack_parameters
    say "Deploying ${templates[0]} as $STACK to $LOCAL"
    # SAM's own files go under .local/, not into the user's home; no telemetry.
    SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=$state/sam start deploy sam_deploy "${parameters[@]}" \
        "StreamMappings=$stream_mappings" >"$logs/deploy.log" 2>&1
    finish deploy "The stack could not be deployed."
}

# SAM looks for the functions from the template's folder.
sam_deploy() {
    cd "$state/stack" || return
    "$venv/bin/sam" deploy --template-file "${templates[0]}" --stack-name "$STACK" --resolve-s3 --no-progressbar \
        --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --no-fail-on-empty-changeset --parameter-overrides "$@" ||
        { failed_events; return 1; }
    fix_deployment
}

# Why a deployment failed, whole: SAM breaks it into short lines.
failed_events() {
    aws_text cloudformation describe-stack-events --stack-name "$STACK" \
        --query "StackEvents[?contains(ResourceStatus, 'FAILED')].[LogicalResourceId, ResourceStatusReason]"
}

# Serves the stream mappings if the emulator does not do so by AWS's rules: relay's, and one of a destination at least.
start_event_sources() {
    [[ $stream_mappings == disabled ]] || return 0
    local i
    start event-sources "$event_sources" --functions "$STACK-" --expect 2 >"$logs/event-sources.log" 2>&1
    for ((i = 0; i < 150; i++)); do
        grep -q '^ready: ' "$logs/event-sources.log" && return
        is_running event-sources || break
        sleep 0.2
    done
    die_with_log event-sources "event-sources, which serves the stream mappings, did not get ready."
}

# Everything, in order.
bring_up() {
    prepare
    start_emulator
    deploy
    start_event_sources
}

# Whether localstack/up has left a local AWS running.
is_up() { [[ -f $running/up ]] && is_running emulator; }

# Stops what an earlier run may have left behind, then sets up.
prepare() {
    lock
    if is_up; then
        die "The local AWS of 'make up' is running in this checkout." "Stop it first: make down"
    elif is_running emulator; then
        say "Stopping what an earlier run left behind"
    fi
    stop_all
    # Before what takes minutes.
    if (: <>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then die "Port $PORT is in use." "Choose another: PORT=4567"; fi
    [[ $stream_mappings == enabled ]] || command -v "$event_sources" >/dev/null ||
        die "$event_sources is missing." "$event_sources_from"
    stop_all_on_exit
    setup
    environment
}

# Each local AWS defines: setup_emulator, launch_emulator and fix_deployment; python_minor, the oldest
# Python 3 that it runs on; health, the path that answers once it is up; stream_mappings, whether its
# own stream mappings are enabled or disabled.
known=$(cd "$root/localstack" && for name in ministack localstack; do [[ ! -f $name.sh ]] || echo "$name"; done)
grep -qxF -e "$LOCAL" <<<"$known" || die "LOCAL=$LOCAL is not a known local AWS." "Choose one of: ${known//$'\n'/, }"
source "$root/localstack/$LOCAL.sh"
# What this repository deploys: STACK, templates, packed, event_sources, stack_environment and stack_parameters.
source "$root/localstack/stack.sh"
