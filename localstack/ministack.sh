# shellcheck shell=bash disable=SC2034,SC2154
# MiniStack, for lib.sh: https://github.com/ministackorg/ministack (MIT).

python_minor=10
health=/_ministack/health
# MiniStack does not redeliver records that a function reports as failed; event-sources serves them instead.
stream_mappings=disabled

# It is installed with the tools.
setup_emulator() { :; }

# AUTH enforces IAM. The other variables restrict it to loopback, to one port and to .local/. -B writes no bytecode here.
launch_emulator() {
    GATEWAY_PORT=$PORT BIND_HOST=127.0.0.1 MINISTACK_HOST=localhost AUTH=true \
        IOT_MTLS_ENABLED=0 TMPDIR=$state/tmp STATE_DIR=$state/tmp/state \
        start emulator "$venv/bin/python" -B "$root/localstack/start-ministack"
}

fix_deployment() { "$venv/bin/python" "$root/localstack/fix-mappings"; }
