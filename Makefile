# ip-lockdown. `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/release/ip-lockdown

# Installation directories of `make install`. DESTDIR is put before each of them.
PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/ip-lockdown
BASH_COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
# Debian uses vendor-completions, most other distributions site-functions.
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
FISH_COMPLETIONS ?= $(PREFIX)/share/fish/vendor_completions.d
SYSTEMDDIR ?= $(PREFIX)/lib/systemd/system
LICENSEDIR ?= $(PREFIX)/share/licenses/ip-lockdown
# The program to install. Man pages and completions come from $(BIN), which must run on this machine.
PROGRAM ?= $(BIN)
# When one of these units starts or stops, the drop-in systemd/reapply.conf reapplies an active lockdown. Units in the
# second list can reload, and systemd/reapply-reload.conf does the same when they reload.
REAPPLY := nftables iptables ip6tables netfilter-persistent ufw firewalld docker
REAPPLY_RELOAD := nftables iptables ip6tables firewalld docker

# sudo resets PATH. For `sudo make test`, add the directory of a Rust that is installed in the user's home directory.
ifdef SUDO_USER
SUDO_HOME := $(shell getent passwd "$$SUDO_USER" | cut -d: -f6)
ifneq ($(wildcard $(SUDO_HOME)/.cargo/bin/cargo),)
export PATH := $(PATH):$(SUDO_HOME)/.cargo/bin
export RUSTUP_HOME ?= $(SUDO_HOME)/.rustup
endif
endif

# cargo-deny in exactly this version: the one in PATH if its version matches, else one that is built into target/tools.
DENY_VERSION := 0.20.2
DENY_BUILT := $(TARGET)/tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
ifeq ($(shell cargo-deny --version 2>/dev/null),cargo-deny $(DENY_VERSION))
DENY := cargo-deny
else
DENY := $(DENY_BUILT)
DENY_NEEDS := $(DENY_BUILT)
endif
DENY_RUN = $(DENY) --workspace --locked

# These tools are built into target/tools, in exactly these versions.
DEB_VERSION := 3.8.0
DEB_BUILT := $(TARGET)/tools/cargo-deb-$(DEB_VERSION)/bin/cargo-deb
RPM_VERSION := 0.21.1
RPM_BUILT := $(TARGET)/tools/cargo-generate-rpm-$(RPM_VERSION)/bin/cargo-generate-rpm
FUZZ_VERSION := 0.13.2
FUZZ_BUILT := $(TARGET)/tools/cargo-fuzz-$(FUZZ_VERSION)/bin/cargo-fuzz
# A virtual environment with tools from PyPI, in the versions of tests/tools/judge/requirements.txt.
JUDGE := $(TARGET)/judge

# Builds the test programs (lab, coexist) and the tests, not optimised. One command builds all of them: separate commands
# would select different features of shared crates, and build these crates again.
BUILD_TESTS := cargo build --locked --workspace --bins --test kernel --test shells
ALL_TESTS := --lib --bins --test '*'

# ---- `make help` prints each `target: ## text`, below the `##@ group` before it --------------------------------------------

.PHONY: help
help:
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ Try

.PHONY: build
build: ## build the optimised program: target/release/ip-lockdown
	cargo build --release --locked --bin ip-lockdown

.PHONY: demo
demo: ## show a lockdown step by step, in separate network namespaces (root)
	@tests/tools/requirements.sh demo
	$(BUILD_TESTS)
	tests/tools/demo.sh

.PHONY: bench
bench: ## measure the cost of a lockdown; writes docs/performance.md (root; seven minutes)
	@tests/tools/requirements.sh test
	cargo build --release --locked --workspace
	cargo bench --locked --workspace --bench hot | tee $(TARGET)/hot.txt
	cargo bench --locked --workspace --bench cost -- --hot $(TARGET)/hot.txt --write docs/performance.md

##@ Check and test

.PHONY: check
check: lint ## run lint and all tests that need no root; run this before each commit
	cargo test --workspace --locked

.PHONY: test
test: ## run check, deny, and the tests on this kernel (root; installs missing packages)
	@tests/tools/requirements.sh test
	@$(MAKE) --no-print-directory check deny kernel-test

.PHONY: test-one
test-one: ## run tests by name: make test-one T=netns::apply
	@[ -n "$(T)" ] || { echo "T is not set; run for example: make test-one T=netns::apply" >&2; exit 2; }
	$(BUILD_TESTS)
	@cargo test --quiet --workspace --locked $(ALL_TESTS) -- --list "$(T)" | grep ': test$$' >/dev/null \
		|| { echo "no test's path contains $(T)" >&2; exit 2; }
	cargo test --workspace --locked $(ALL_TESTS) -- "$(T)"

.PHONY: kernel-test
kernel-test: ## run the tests on this kernel: network namespaces, real sockets (root)
	@tests/tools/requirements.sh test
	$(BUILD_TESTS)
	cargo test --workspace --locked --test kernel --test shells

.PHONY: coexist-test
coexist-test: ## test with ufw, firewalld, docker and podman on a real Debian (root; GROUP=ufw: one group)
	@tests/tools/requirements.sh coexist-test
	cargo build --release --locked --bin ip-lockdown
	$(BUILD_TESTS)
	tests/machine/coexist/run.sh $(GROUP)

.PHONY: boot-test
boot-test: ## test image builds and boots of a real Debian (root; SCENARIO=package: one scenario)
	@tests/tools/requirements.sh boot-test
	@$(MAKE) --no-print-directory package
	$(BUILD_TESTS)
	tests/machine/boot/run.sh $(TARGET)/package/*.deb $(SCENARIO)

.PHONY: packaging-test
packaging-test: ## test packages, images, user-data and fleet tools (root; CASE=deb: one case)
	@tests/tools/requirements.sh packaging-test
	@$(MAKE) --no-print-directory package $(JUDGE)/ready
	$(BUILD_TESTS)
	tests/machine/packaging/run.sh $(CASE)

##@ Single checks

# How many inputs, and of how many bytes at most. Without a sanitizer, cargo-fuzz works with a stable Rust too.
RUNS ?= 1000000
MAX_LEN ?= 1024
.PHONY: fuzz
fuzz: $(FUZZ_BUILT) ## run a parser on random inputs: make fuzz T=iptables_save RUNS=10000000
	@[ -f "fuzz/fuzz_targets/$(T).rs" ] || { echo "no target named: make fuzz T=iptables_save; the targets are" \
		$(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))) >&2; exit 2; }
	cargo run --quiet --locked --package fuzz-targets -- $(T) $(TARGET)/fuzz-corpus/$(T)
	$(FUZZ_BUILT) run $(T) --sanitizer none --target-dir $(TARGET)/fuzz \
		$(TARGET)/fuzz-corpus/$(T) fuzz/regressions/$(T) -- -runs=$(RUNS) -max_len=$(MAX_LEN) -timeout=10 -print_final_stats=1

.PHONY: judge
judge: $(JUDGE)/ready ## check the output of trust-policy with moto, cfn-lint and python-hcl2 (from PyPI)
	cargo build --locked --bin ip-lockdown
	$(JUDGE)/bin/python tests/tools/judge/judge.py $(TARGET)/debug/ip-lockdown

$(JUDGE)/ready: tests/tools/judge/requirements.txt
	python3 -m venv $(JUDGE)
	$(JUDGE)/bin/pip install --quiet --disable-pip-version-check --requirement tests/tools/judge/requirements.txt
	touch $@

.PHONY: size
size: ## check that the release program is smaller than 4 MiB
	cargo build --release --locked --bin ip-lockdown
	@bytes=$$(stat --format=%s $(BIN)); echo "$(BIN): $$bytes bytes"; \
		[ "$$bytes" -lt 4194304 ] || { echo "$(BIN) must be smaller than 4 MiB" >&2; exit 1; }

.PHONY: lint
lint: ## check format, clippy, rustdoc, shell scripts, rust-version; warnings are errors
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --test kernel --test shells --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --locked --no-deps --document-private-items
	@$(MAKE) --no-print-directory shellcheck msrv

# No crate may require a newer Rust than `rust-version`. For our own code, clippy checks this (incompatible_msrv).
.PHONY: msrv
msrv:
	@ours=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1); \
	newest=$$(cargo metadata --locked --format-version 1 --filter-platform x86_64-unknown-linux-gnu \
		| grep -o '"rust_version":"[0-9.]*"' | cut -d '"' -f 4 | sort -V | tail -n 1); \
	[ "$$newest" = "$$ours" ] || { echo "a crate in Cargo.lock requires Rust $$newest, and rust-version in Cargo.toml" \
		"is $$ours: use an older version of the crate, or raise it (CONTRIBUTING.md)" >&2; exit 1; }

# All files that start with the #! line of a shell, whatever their names. tests/pure/corpus has files of other projects.
.PHONY: shellcheck
shellcheck:
	@command -v shellcheck >/dev/null || { echo "shellcheck is missing; install it, or run: sudo tests/tools/requirements.sh test" >&2; exit 1; }
	@find . \( -path ./target -o -path ./.git -o -path ./tests/pure/corpus \) -prune -o -type f \
		-exec awk 'FNR == 1 && /^#!.*[\/ ](ba|da)?sh( |$$)/ { printf "%s%c", FILENAME, 0 } { nextfile }' {} + \
		| sort -z | xargs -0 --no-run-if-empty --verbose shellcheck

.PHONY: deny
deny: $(DENY_NEEDS) ## check the dependencies: licences, banned and duplicate crates, sources
	$(DENY_RUN) check bans licenses sources

.PHONY: advisories
advisories: advisory-db ## check the dependencies for known vulnerabilities (fetches the RustSec database)
	$(DENY_RUN) check advisories

.PHONY: advisory-db
advisory-db: $(DENY_NEEDS)
	@timeout 120 $(DENY_RUN) fetch db || { echo "advisories: NOT CHECKED, the RustSec database could not be fetched" >&2; exit 1; }

# Builds a tool from crates.io: target/tools/NAME-VERSION/bin/NAME. The build is not optimised and has no debug
# information, which takes a third of the time. The tools share one build directory, so crates that they have in common are built once.
$(TARGET)/tools/%:
	name=$(notdir $@); root=$(patsubst %/bin/,%,$(dir $@)); version=$${root##*/$$name-}; \
	CARGO_PROFILE_DEV_DEBUG=0 cargo install "$$name" --version "$$version" --locked --debug \
		--target-dir $(TARGET)/tools/build --root "$$root"

# The stages of .ci/run that other stages wait for.
.PHONY: tests-built tools images
tests-built:
	$(BUILD_TESTS)
	cargo test --locked --workspace --no-run
tools: $(DENY_NEEDS) $(DEB_BUILT) $(RPM_BUILT) $(JUDGE)/ready
	rm -rf $(TARGET)/tools/build
images:
	tests/machine/guest/image.sh $(TARGET)/guest
	tests/machine/packaging/image.sh $(TARGET)/packaging

##@ Install and package

.PHONY: install
install: ## install program, units, man pages, completions; run make build first (PREFIX=, DESTDIR=)
	@for program in $(BIN) $(PROGRAM); do \
		test -x "$$program" || { echo "$$program does not exist; run: make build" >&2; exit 1; }; done
	install -D -m 755 $(PROGRAM) "$(DESTDIR)$(SBINDIR)/ip-lockdown"
	for unit in systemd/*.service systemd/*.timer; do \
		sed 's|/usr/sbin/ip-lockdown|$(SBINDIR)/ip-lockdown|' "$$unit" \
			| install -D -m 644 /dev/stdin "$(DESTDIR)$(SYSTEMDDIR)/$${unit##*/}"; done
	for unit in $(REAPPLY); do \
		install -D -m 644 systemd/reapply.conf "$(DESTDIR)$(SYSTEMDDIR)/$$unit.service.d/50-ip-lockdown.conf"; done
	for unit in $(REAPPLY_RELOAD); do \
		install -D -m 644 systemd/reapply-reload.conf "$(DESTDIR)$(SYSTEMDDIR)/$$unit.service.d/51-ip-lockdown-reload.conf"; done
	install -D -m 644 -t "$(DESTDIR)$(DOCDIR)" README.md CHANGELOG.md SECURITY.md
	install -D -m 644 -t "$(DESTDIR)$(DOCDIR)/docs" docs/*.md
	install -D -m 644 -t "$(DESTDIR)$(DOCDIR)/examples" packaging/config.toml
	install -D -m 644 -t "$(DESTDIR)$(LICENSEDIR)" LICENSE-APACHE LICENSE-MIT
	$(BIN) generate man | install -D -m 644 /dev/stdin "$(DESTDIR)$(MANDIR)/man8/ip-lockdown.8"
	$(BIN) generate config-man | install -D -m 644 /dev/stdin "$(DESTDIR)$(MANDIR)/man5/ip-lockdown-config.5"
	$(BIN) generate trust-policy-man | install -D -m 644 /dev/stdin "$(DESTDIR)$(MANDIR)/man1/ip-lockdown-trust-policy.1"
	$(BIN) generate completions bash | install -D -m 644 /dev/stdin "$(DESTDIR)$(BASH_COMPLETIONS)/ip-lockdown"
	$(BIN) generate completions zsh | install -D -m 644 /dev/stdin "$(DESTDIR)$(ZSH_COMPLETIONS)/_ip-lockdown"
	$(BIN) generate completions fish | install -D -m 644 /dev/stdin "$(DESTDIR)$(FISH_COMPLETIONS)/ip-lockdown.fish"

# The target for packages of another architecture, such as aarch64-unknown-linux-gnu. Cargo needs its Rust target and a
# linker for it.
export PACKAGE_TARGET ?=
# The maintainer field of the packages. Set it to whoever publishes them.
export PACKAGE_MAINTAINER ?= The ip-lockdown authors <ip-lockdown@localhost.localdomain>

.PHONY: package
package: ## build .deb and .rpm in target/package (PACKAGE_MAINTAINER=, PACKAGE_TARGET=)
	@tests/tools/requirements.sh package
	@$(MAKE) --no-print-directory $(DEB_BUILT) $(RPM_BUILT)
	cargo build --release --locked --bin ip-lockdown
	$(if $(PACKAGE_TARGET),cargo build --release --locked --bin ip-lockdown --target $(PACKAGE_TARGET))
	CARGO_DEB=$(DEB_BUILT) CARGO_GENERATE_RPM=$(RPM_BUILT) packaging/package $(TARGET)

.PHONY: clean
clean: ## remove everything that was built, also the tools
	cargo clean
