# shellcheck shell=bash disable=SC2034,SC2154
# LocalStack 4.14.0, the last release that starts without an account, for lib.sh:
# https://github.com/localstack/localstack (Apache-2.0). It runs without a container engine:
# plugins/ runs functions as processes, and dynoxide is its DynamoDB.

python_minor=13
health=/_localstack/health
stream_mappings=enabled

localstack=$state/localstack
dynoxide_version=3.2.0
dynoxide=$state/dynoxide-$dynoxide_version

setup_emulator() {
    local python requirements=$root/localstack/requirements-localstack.txt
    python=$(find_python "$python_minor")
    install "$localstack" "LocalStack into .local/localstack: about 2 minutes, once" \
        install_localstack "$python" "$requirements" \
        -- "$("$python" -VV)" "$requirements" "$root"/localstack/plugins/*.* "$root"/localstack/plugins/*/*.py
    install "$dynoxide" "dynoxide $dynoxide_version, the DynamoDB of LocalStack here: about 3 minutes, once" \
        install_dynoxide -- "$dynoxide_version"
}

# With its Kinesis engine, which it would otherwise install at first use.
install_localstack() {
    install_packages "$localstack/venv" "$1" "$2"
    # From a copy, because a build leaves files beside the source.
    cp -R "$root/localstack/plugins" "$localstack/plugins"
    "$localstack/venv/bin/pip" install --disable-pip-version-check --no-deps "$localstack/plugins"
    PATH=$localstack/venv/bin:$PATH OVERRIDE_IN_DOCKER=0 FILESYSTEM_ROOT=$localstack/files \
        "$localstack/venv/bin/python" -m localstack.cli.lpm install kinesis-mock
}

# With settings that build fast, since it only serves tests.
install_dynoxide() {
    CARGO_TARGET_DIR=$dynoxide/build CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=64 \
        cargo install dynoxide-rs --version "$dynoxide_version" --locked \
        --no-default-features --features native-sqlite,http-server,cli --root "$dynoxide"
    rm -rf "$dynoxide/build"
}

launch_emulator() {
    # State of an earlier run.
    rm -rf "$localstack/files/var" "$localstack/files$state"
    # The default CONFIG_DIR may have settings of the user's. The plugins import function_urls; -B writes no bytecode
    # beside it.
    PYTHONPATH=$root/localstack PATH=$localstack/venv/bin:$PATH TMPDIR=$state/tmp FILESYSTEM_ROOT=$localstack/files \
        OVERRIDE_IN_DOCKER=0 CONFIG_DIR=$localstack/config GATEWAY_LISTEN=127.0.0.1:$PORT LOCALSTACK_HOST=127.0.0.1:$PORT \
        SQS_ENDPOINT_STRATEGY=path DNS_ADDRESS=0 \
        SKIP_SSL_CERT_DOWNLOAD=1 DISABLE_EVENTS=1 \
        LAMBDA_RUNTIME_EXECUTOR=process DYNOXIDE=$dynoxide/bin/dynoxide KINESIS_LATENCY=0 \
        PROVIDER_OVERRIDE_DYNAMODB=v2 PROVIDER_OVERRIDE_DYNAMODBSTREAMS=v2 \
        LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC=0.1 \
        LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC=0.5 \
        start emulator "$localstack/venv/bin/python" "$root/localstack/isolated" "$PORT" "${provider##*:}" \
        "$localstack/venv/bin/python" -B -m localstack.runtime.main
}

fix_deployment() { :; }
