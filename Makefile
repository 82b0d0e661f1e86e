# `make help` lists the targets. They need Rust (rustup), Python 3.10 or newer with venv, and make.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

# Which local AWS: ministack or localstack.
export LOCAL ?= ministack

# One target folder, where the template, localstack/ and tests look for binaries.
export CARGO_TARGET_DIR := $(CURDIR)/target

# The list of functions is the folders of functions/, here and in localstack/ and tests/chaos/. A function NAME
# is the package handover-NAME with the binary NAME.
FUNCTIONS := $(patsubst functions/%/Cargo.toml,%,$(wildcard functions/*/Cargo.toml))
TOOLS := .local/venv/bin
ARCHITECTURE ?= arm64

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := .local/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
CARGO_MUTANTS_VERSION := 27.1.0
CARGO_MUTANTS := .local/cargo-mutants-$(CARGO_MUTANTS_VERSION)/bin/cargo-mutants

# Clippy in the compiler's place: one build gives lints, binaries and tests. `cargo clippy` checks all of
# the SDK once more, for nothing that is kept; it is for `make lint`.
LINTS := RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__

# A comma inside of an argument of $(call …).
, := ,

# What is built once and not again needs nothing to build it faster the next time.
ifdef CI
export CARGO_INCREMENTAL ?= 0
endif

# $(call step,number,what it does,how long it takes)
step = @[[ -t 1 ]] && bold=$$'\033[1m' plain=$$'\033[0m' || bold= plain=; \
    printf '\n%s== %s  %s%s  (%s)\n' "$$bold" '$(1)' '$(2)' "$$plain" '$(3)'

# $(call timed,number,what it does,its budget in minutes): a step of `make test`
define timed
$(call step,$(1),$(2),at most $(3) min)
@.ci/budget step '$(2)' $(3)
endef

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-21s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\n  LOCAL=ministack (or localstack), PORT=4566, STACK=handover and PYTHON=python3 may be set\n'
	@printf '  for run, test, chaos and up.\n'

# ------------------------------------------------------------------------------------- local

.PHONY: run
run: ## Send the example refunds through the functions on a local AWS, and check every total
	$(call step,1/3,Tools of the local AWS,3 min once)
	localstack/setup
	$(call step,2/3,Build,5 min once)
	@$(MAKE) --no-print-directory build
	$(call step,3/3,Refunds through the deployed stack,1 min)
	localstack/with target/debug/refunds

# Each step has a budget in minutes, on 2 cores and from a clean clone; see CONTRIBUTING.md, "Time". Which test
# target runs in which step is in .ci/tests.
.PHONY: test
test: ## Check everything: format, lints, licences, template, unit and integration tests
	@.ci/budget begin
	$(call timed,1/10,Tools of the local AWS and of the checks,4)
	@$(MAKE) --no-print-directory .tools
	$(call timed,2/10,Format$(,) licences$(,) template$(,) features,1)
	@$(MAKE) --no-print-directory check-format check-licences check-template check-one-build check-producer
	$(call timed,3/10,Build with lints,10)
	@$(MAKE) --no-print-directory build WITH='$(LINTS)'
	$(call timed,4/10,Instructions and sizes against the baseline,1)
	@$(MAKE) --no-print-directory gate
	$(call timed,5/10,Build of the tests with lints,2)
	$(LINTS) cargo test --workspace --locked --no-run
	$(call timed,6/10,Unit tests; documentation and its tests,2)
	$(TESTS) $$(.ci/tests units)
	@$(MAKE) --no-print-directory docs
	$(call timed,7/10,The tutorial$(,) against the packages,4)
	.ci/packages
	.ci/tutorial
	$(call timed,8/10,Simulation,2)
	$(TESTS) $$(.ci/tests simulation)
	$(call timed,9/10,Mutants: half of them$(,) by the commit,4)
	MUTANTS_BY=$(MUTANTS_BY) $(TESTS) $$(.ci/tests mutants)
	$(call timed,10/10,The deployed stack,5)
	@# The tutorial has built functions of the same names.
	@$(MAKE) --no-print-directory build WITH='$(LINTS)'
	RUST_TEST_THREADS=$(STACK_THREADS) $(LINTS) localstack/with cargo test --workspace --locked $$(.ci/tests stack)
	@.ci/budget end 35
	@printf '\nAll checks passed.\n'

TESTS := $(LINTS) cargo test --workspace --locked

# The stack's tests mostly wait.
STACK_THREADS := 6

# Side by side: one is waiting for the network when the other compiles.
.PHONY: .tools
.tools:
	@localstack/setup & setup=$$!; \
	trap 'kill $$setup 2>/dev/null || true' EXIT; \
	$(MAKE) --no-print-directory $(CARGO_DENY); \
	wait $$setup

# `cargo doc` gives the same warnings, and checks all of the SDK once more for them.
.PHONY: docs
docs: ## Write the documentation into target/doc with warnings denied, and run its examples
	RUSTDOC=$(CURDIR)/.ci/rustdoc $(LINTS) cargo test --workspace --locked --doc --no-fail-fast

# The test that compares them writes them; see CONTRIBUTING.md, "An error code".
.PHONY: error-pages
error-pages: ## Write docs/errors/ from the codes of errors in src/code/
	UPDATE_DOCS=1 $(TESTS) --lib error_pages

# The commit that chooses which half of the mutants `make test` tries; all of them if there is none.
MUTANTS_BY = $(shell git rev-parse HEAD 2>/dev/null)

.PHONY: mutants
mutants: ## Check that the simulation finds every mutant; `make test` tries half of them
	$(TESTS) $$(.ci/tests mutants)

# Of the files that .cargo/mutants.toml names, with the library's unit tests alone: other features than the workspace's,
# and so a folder of its own. `make cargo-mutants FILE=src/record/due.rs` tries the changes of one file. cargo-mutants
# ends with 3 where a change made a loop endless: that is found, too, and no error.
.PHONY: cargo-mutants
cargo-mutants: $(CARGO_MUTANTS) ## Check that a unit test finds each change of what decides: FILE=…
	CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/cargo-mutants $(CARGO_MUTANTS) mutants --package handover \
	    $(if $(FILE),--re '^$(FILE):') --output target --colors never || [ $$? -eq 3 ]
	@! grep . target/mutants.out/missed.txt

# What the stack promises, one module each of tests/stack; of what `make test` has built.
SHORT := accept:: consume:: external:: failure::

.PHONY: test-localstack-short
test-localstack-short: ## Check a short part of the stack's tests on LocalStack, where it can start
	@if reason=$$(LOCAL=localstack localstack/can-run 2>&1); then \
	    $(MAKE) --no-print-directory .test-short LOCAL=localstack; \
	else \
	    printf '\nSKIPPED: the tests on LocalStack.\n%s\n' "$$reason"; \
	fi

.PHONY: .test-short
.test-short:
	$(call step,1/2,Tools of LocalStack,5 min once)
	localstack/setup
	$(call step,2/2,The stack on LocalStack: $(SHORT),4 min)
	$(LINTS) localstack/with cargo test --workspace --locked --test stack -- $(SHORT)

.PHONY: chaos
chaos: ## Send N=5000 refunds while functions are killed and the local AWS is paused; check every total
	$(call step,1/3,Tools of the local AWS,3 min once)
	localstack/setup
	$(call step,2/3,Build,5 min once)
	@$(MAKE) --no-print-directory build
	$(call step,3/3,Refunds through the deployed stack while it is killed and paused,4 min for 5000)
	localstack/with target/debug/chaos $(or $(N),5000) $(if $(SEED),--seed $(SEED))

# `make soak SEEDS=n FIRST=m` runs n seeds from m on; `make soak PLAN='commerce 7'` one run, with its history: a
# workload and a seed, or what a failure printed.
.PHONY: soak
soak: ## Run many seeds of the simulation on every core: SEEDS=10000
	$(call step,1/2,Build,7 min once)
	cargo build --workspace --locked
	$(call step,2/2,Simulation,67 min for 12$(,)000 seeds on 2 cores beside other builds)
	target/debug/soak $(if $(PLAN),--plan '$(PLAN)',$(or $(SEEDS),10000) $(FIRST))

.PHONY: timing
timing: ## How long numbered notifications take, on virtual time
	$(call step,1/2,Build,7 min once)
	cargo build --workspace --locked
	$(call step,2/2,Timing,6 min beside other builds)
	target/debug/timing order

.PHONY: up
up: build ## Start the local AWS, deploy the stack, and leave both running; again: deploy what has changed
	localstack/up

.PHONY: down
down: ## End what `make up` started
	localstack/down

# The whole workspace in one go: another choice of packages would build the SDK again.
.PHONY: build
build: ## Build everything for this machine
	$(WITH) cargo build --workspace --locked

# ------------------------------------------------------------------------------- benchmarks

BENCHED := bench bench-destination accept relay refund

.PHONY: bench
bench: ## Measure the functions and their peers, and write bench/RESULTS.md
	$(call step,1/3,Peers and valgrind,1 min once)
	bench/peers/setup
	bench/install-valgrind
	@$(MAKE) --no-print-directory .build-bench STEP=2/3
	$(call step,3/3,Measure,5 min)
	target/release/bench run

.PHONY: cost
cost: ## Print what a million notifications cost on AWS, with the arithmetic
	$(call step,1/3,Peers,1 min once)
	bench/peers/setup
	@$(MAKE) --no-print-directory .build-bench STEP=2/3
	$(call step,3/3,Count what each design uses,30 s)
	target/release/bench cost

.PHONY: .build-bench
.build-bench:
	$(call step,$(STEP),Build for release,8 min once)
	cargo build --release --locked $(addprefix --package handover-,$(BENCHED))

# Of what `make build` has built; `make gate WRITE=1` writes the baseline anew.
.PHONY: gate
gate: ## Compare instructions and calls a record and sizes of binaries with bench/baseline.toml
	bench/install-valgrind || true
	target/debug/bench gate $(if $(WRITE),--write)

# ------------------------------------------------------------------------------------ checks

.PHONY: lint
lint: check-format check-licences check-template check-one-build check-producer check-lints ## Check format, licences, template and Rust

.PHONY: check-format
check-format:
	cargo fmt --all --check

.PHONY: check-licences
check-licences: $(CARGO_DENY)
	$(CARGO_DENY) --locked check --hide-inclusion-graph bans licenses sources

# `sam validate` asks for a Region and uses none. Its home is ours, so that nothing is left in yours.
.PHONY: check-template
check-template:
	@localstack/setup
	$(TOOLS)/cfn-lint template.yaml infra/core.yaml infra/destination.yaml infra/api.yaml
	SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=.local/sam AWS_DEFAULT_REGION=us-east-1 \
	    $(TOOLS)/sam validate --lint --template template.yaml

.PHONY: check-lints
check-lints:
	cargo clippy --workspace --all-targets --locked -- -D warnings

# A dependency is built once for binaries and tests if both ask for the same features of it.
FEATURES = cargo tree --quiet --workspace --locked --format '{p} {f}' --prefix none --edges $(1) | sed 's/ (\*)$$//' | sort -u

.PHONY: check-one-build
check-one-build:
	@twice=$$(comm -23 <($(call FEATURES,normal$(,)build)) <($(call FEATURES,normal$(,)build$(,)dev))); \
	[[ -z $$twice ]] || { \
	    printf 'error: tests ask for further features of these, which so would be built twice:\n%s\n' "$$twice" >&2; \
	    echo 'Make the dev-dependency that does a dependency of tests/support/provider, too; see there.' >&2; \
	    exit 1; \
	}

# What a producer is spared, that has an outbox and no functions of ours.
SPARED := aws-config|aws-sdk-kinesis|aws-sdk-sqs|aws_lambda_events|lambda_runtime|tracing-subscriber

.PHONY: check-producer
check-producer:
	@tree=$$(cargo tree --quiet --package handover --no-default-features --edges normal --prefix none --locked); \
	spared=$$(cut -d ' ' -f 1 <<<"$$tree" | sort -u | grep -xE '$(SPARED)' || true); \
	[[ -z $$spared ]] || { \
	    printf 'error: without its features the library depends on these, which are for functions alone:\n%s\n' \
	        "$$spared" >&2; \
	    echo 'Make the dependency optional, and part of the feature `lambda`, in Cargo.toml.' >&2; \
	    exit 1; \
	}

# With other features than the workspace's, the SDK is checked once more. So it has a folder of its own, and is
# not part of `make test`.
.PHONY: check-features
check-features: check-producer ## Check that the library compiles without its features, for a producer alone
	CARGO_TARGET_DIR=target/features RUSTFLAGS='-D warnings' \
	    cargo check --package handover --no-default-features --lib --locked

# Each is built from its package alone, with the others' packages beside it, so that none lacks a file or a version.
PUBLISHED := handover handover-event-sources handover-sim handover-external-http handover-cli

.PHONY: package
package: ## Pack the crates that are published, and build each from its package
	CARGO_PROFILE_DEV_DEBUG=0 cargo package --locked $(addprefix --package ,$(PUBLISHED))

.PHONY: advisories
advisories: $(CARGO_DENY) ## Check dependencies against the advisory database (fetches it)
	$(CARGO_DENY) --locked check advisories

# $(call install,crate,version): builds it in a hurry: without optimisation it takes half as long to build. cargo-deny
# then checks in 3 s.
define install
	CARGO_TARGET_DIR=.local/$(1)-build \
	CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
	CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=64 \
	cargo install $(1) --version $(2) --locked --no-default-features --root .local/$(1)-$(2)
	rm -rf .local/$(1)-build
endef

$(CARGO_DENY):
	$(call install,cargo-deny,$(CARGO_DENY_VERSION))

$(CARGO_MUTANTS):
	$(call install,cargo-mutants,$(CARGO_MUTANTS_VERSION))

# --------------------------------------------------------------------------------------- AWS

# Amazon Linux 2023 has glibc 2.34; zig, which cargo-lambda links with, targets just that.
TARGET_arm64 := aarch64-unknown-linux-gnu.2.34
TARGET_x86_64 := x86_64-unknown-linux-gnu.2.34

# The build writes its architecture, which infra/samconfig.toml takes as the parameter of the same name.
# The files of routes, from which the parameter RoutesFile chooses, beside the binary of each function.
pack_routes = shopt -s nullglob; files=(infra/*.routes.json); \
    for name in $(FUNCTIONS); do \
        rm -f target/lambda/$$name/*.routes.json; \
        (( ! $${\#files[@]} )) || cp "$${files[@]}" target/lambda/$$name/ || exit 1; \
    done

.PHONY: release
release: ## Build the functions for AWS (ARCHITECTURE=arm64 or x86_64) into target/lambda
	@localstack/setup
	rm -f target/lambda/architecture.yaml
	PATH="$(CURDIR)/$(TOOLS):$$PATH" cargo lambda build --release --locked \
	    --target $(TARGET_$(ARCHITECTURE)) $(addprefix --package handover-,$(FUNCTIONS))
	@$(pack_routes)
	echo 'Architecture: $(ARCHITECTURE)' >target/lambda/architecture.yaml

.PHONY: deploy
deploy: ## Build for AWS and deploy with your AWS profile: STAGE=dev or prod
	@[[ '$(STAGE)' && '$(STAGE)' != local && -f 'infra/$(STAGE).yaml' ]] || \
	    { echo 'Say which stage: make deploy STAGE=dev (or prod; see infra/README.md)' >&2; exit 1; }
	@$(MAKE) --no-print-directory release
	$(TOOLS)/sam deploy --config-file infra/samconfig.toml --config-env $(STAGE)

.PHONY: clean
clean: ## Remove everything built or installed here: target/ and .local/
	@[[ ! -d .local ]] || localstack/down
	rm -rf target .local
