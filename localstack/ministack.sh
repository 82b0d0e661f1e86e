# shellcheck shell=bash disable=SC2034,SC2154
# MiniStack, as lib.sh wants it: https://github.com/ministackorg/ministack (MIT).

python_minor=10
health=/_ministack/health
# It never delivers again what a function reports as failed; event-sources takes their place.
stream_mappings=disabled

# It is one of the tools.
setup_emulator() { :; }

# AUTH enforces IAM. The other variables keep it to loopback, to one port and to .local/.
launch_emulator() {
    GATEWAY_PORT=$PORT BIND_HOST=127.0.0.1 MINISTACK_HOST=localhost AUTH=true \
        IOT_MTLS_ENABLED=0 TMPDIR=$state/tmp STATE_DIR=$state/tmp/state \
        start emulator "$venv/bin/ministack"
}

mend_deployment() { "$venv/bin/python" localstack/mend-mappings; }
