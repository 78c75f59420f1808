# ip-lockdown. `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/release/ip-lockdown

# Where `make install` puts things; DESTDIR comes before each.
PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/ip-lockdown
BASH_COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
# Debian looks in vendor-completions, most others in site-functions.
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
FISH_COMPLETIONS ?= $(PREFIX)/share/fish/vendor_completions.d
SYSTEMDDIR ?= $(PREFIX)/lib/systemd/system
LICENSEDIR ?= $(PREFIX)/share/licenses/ip-lockdown
# The program that is put there; $(BIN), which has to run here, prints the man pages and completions.
PROGRAM ?= $(BIN)
# Each of these units applies an active lockdown again when it starts or stops, by the drop-in systemd/reapply.conf; and
# those that can reload, when they do.
REAPPLY := nftables iptables ip6tables netfilter-persistent ufw firewalld docker
REAPPLY_RELOAD := nftables iptables ip6tables firewalld docker

# `sudo make test` for a developer whose Rust is in the home folder: sudo resets PATH, so look there as well.
ifdef SUDO_USER
SUDO_HOME := $(shell getent passwd "$$SUDO_USER" | cut -d: -f6)
ifneq ($(wildcard $(SUDO_HOME)/.cargo/bin/cargo),)
export PATH := $(PATH):$(SUDO_HOME)/.cargo/bin
export RUSTUP_HOME ?= $(SUDO_HOME)/.rustup
endif
endif

# cargo-deny of exactly this version: the one in PATH if it is, else built once into target/tools.
DENY_VERSION := 0.20.2
DENY_BUILT := $(TARGET)/tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
ifeq ($(shell cargo-deny --version 2>/dev/null),cargo-deny $(DENY_VERSION))
DENY := cargo-deny
else
DENY := $(DENY_BUILT)
DENY_NEEDS := $(DENY_BUILT)
endif
DENY_RUN = $(DENY) --workspace --locked

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## the program, optimised: target/release/ip-lockdown
	cargo build --release --locked --workspace

.PHONY: demo
demo: ## see it work, in network namespaces of its own (root)
	@tests/requirements.sh demo
	cargo build --release --locked --workspace
	tests/demo.sh

.PHONY: test
test: ## everything that has to hold: lint, deny, all tests (root; installs what is missing)
	@tests/requirements.sh test
	@$(MAKE) --no-print-directory lint deny
	cargo test --workspace --locked

.PHONY: coexist-test
coexist-test: ## beside ufw, firewalld, docker and podman on a real Debian (root; GROUP=ufw: one of them)
	@tests/requirements.sh coexist-test
	cargo build --release --locked --workspace
	tests/coexist/run.sh $(GROUP)

.PHONY: boot-test
boot-test: ## image builds and boots of a real Debian with the package (root; SCENARIO=package: one of them)
	@tests/requirements.sh boot-test
	@$(MAKE) --no-print-directory package
	cargo build --release --locked --package lab
	tests/boot/run.sh $(TARGET)/package/*.deb $(SCENARIO)

.PHONY: bench
bench: ## what it costs, beside what would be used instead; writes docs/performance.md (root)
	@tests/requirements.sh test
	cargo build --release --locked --workspace
	cargo bench --locked --bench hot | tee $(TARGET)/hot.txt
	cargo bench --locked --bench cost -- --hot $(TARGET)/hot.txt --write docs/performance.md

# Tools from PyPI, of the versions in tests/judge/requirements.txt, in a place of their own. `make test` needs none of them.
JUDGE := $(TARGET)/judge

.PHONY: judge
judge: $(JUDGE)/ready ## what trust-policy builds, judged by moto, cfn-lint and python-hcl2 (from PyPI)
	cargo build --locked --bin ip-lockdown
	$(JUDGE)/bin/python tests/judge/judge.py $(TARGET)/debug/ip-lockdown

$(JUDGE)/ready: tests/judge/requirements.txt
	python3 -m venv $(JUDGE)
	$(JUDGE)/bin/pip install --quiet --disable-pip-version-check --requirement tests/judge/requirements.txt
	touch $@

.PHONY: size
size: ## the stripped release program stays under 4 MiB
	cargo build --release --locked --bin ip-lockdown
	@bytes=$$(stat --format=%s $(BIN)); echo "$(BIN): $$bytes bytes"; \
		[ "$$bytes" -lt 4194304 ] || { echo "that is 4 MiB or more" >&2; exit 1; }

.PHONY: lint
lint: ## format, clippy, documentation, shell scripts; a warning is an error
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --locked --no-deps --document-private-items
	@$(MAKE) --no-print-directory shellcheck

# Every file that starts with a shell's #! line, whatever its name; tests/corpus holds other people's files.
.PHONY: shellcheck
shellcheck:
	@command -v shellcheck >/dev/null || { echo "shellcheck is missing: install it, or run: sudo tests/requirements.sh test" >&2; exit 1; }
	@find . \( -path ./target -o -path ./.git -o -path ./tests/corpus \) -prune -o -type f \
		-exec awk 'FNR == 1 && /^#!.*[\/ ](ba|da)?sh( |$$)/ { printf "%s%c", FILENAME, 0 } { nextfile }' {} + \
		| sort -z | xargs -0 --no-run-if-empty --verbose shellcheck

.PHONY: deny
deny: $(DENY_NEEDS) ## licences, banned and duplicate crates, sources; needs no network once built
	$(DENY_RUN) check bans licenses sources

.PHONY: advisories
advisories: advisory-db ## known vulnerabilities in our dependencies (fetches the RustSec database)
	$(DENY_RUN) check advisories

.PHONY: advisory-db
advisory-db: $(DENY_NEEDS)
	@timeout 120 $(DENY_RUN) fetch db || { echo "advisories: NOT CHECKED, the RustSec database could not be fetched" >&2; exit 1; }

# A tool from crates.io, as target/tools/NAME-VERSION/bin/NAME. Not optimised, and without debug information: it takes
# a third of the time to build, and a second to run.
$(TARGET)/tools/%:
	name=$(notdir $@); root=$(patsubst %/bin/,%,$(dir $@)); version=$${root##*/$$name-}; \
	CARGO_PROFILE_DEV_DEBUG=0 cargo install "$$name" --version "$$version" --locked --debug \
		--target-dir $(TARGET)/tools/build --root "$$root"
	rm -rf $(TARGET)/tools/build

.PHONY: install
install: ## after make build: program, units, man pages, completions (PREFIX=/usr, DESTDIR=); enables nothing
	@for program in $(BIN) $(PROGRAM); do \
		test -x "$$program" || { echo "$$program is not there: make build first" >&2; exit 1; }; done
	install -D -m 755 $(PROGRAM) "$(DESTDIR)$(SBINDIR)/ip-lockdown"
	for unit in systemd/*.service systemd/*.timer; do \
		sed 's|/usr/sbin/ip-lockdown|$(SBINDIR)/ip-lockdown|' "$$unit" \
			| install -D -m 644 /dev/stdin "$(DESTDIR)$(SYSTEMDDIR)/$${unit##*/}"; done
	for unit in $(REAPPLY); do \
		install -D -m 644 systemd/reapply.conf "$(DESTDIR)$(SYSTEMDDIR)/$$unit.service.d/50-ip-lockdown.conf"; done
	for unit in $(REAPPLY_RELOAD); do \
		install -D -m 644 systemd/reapply-reload.conf "$(DESTDIR)$(SYSTEMDDIR)/$$unit.service.d/51-ip-lockdown-reload.conf"; done
	install -D -m 644 -t "$(DESTDIR)$(DOCDIR)" README.md CHANGELOG.md \
		docs/coexistence.md docs/findings.md docs/json.md docs/performance.md docs/trust-policy.md
	install -D -m 644 -t "$(DESTDIR)$(DOCDIR)/examples" packaging/config.toml
	install -D -m 644 -t "$(DESTDIR)$(LICENSEDIR)" LICENSE-APACHE LICENSE-MIT
	$(BIN) generate man | install -D -m 644 /dev/stdin "$(DESTDIR)$(MANDIR)/man8/ip-lockdown.8"
	$(BIN) generate config-man | install -D -m 644 /dev/stdin "$(DESTDIR)$(MANDIR)/man5/ip-lockdown-config.5"
	$(BIN) generate trust-policy-man | install -D -m 644 /dev/stdin "$(DESTDIR)$(MANDIR)/man1/ip-lockdown-trust-policy.1"
	$(BIN) generate completions bash | install -D -m 644 /dev/stdin "$(DESTDIR)$(BASH_COMPLETIONS)/ip-lockdown"
	$(BIN) generate completions zsh | install -D -m 644 /dev/stdin "$(DESTDIR)$(ZSH_COMPLETIONS)/_ip-lockdown"
	$(BIN) generate completions fish | install -D -m 644 /dev/stdin "$(DESTDIR)$(FISH_COMPLETIONS)/ip-lockdown.fish"

# Tools of exactly these versions, built once.
DEB_VERSION := 3.8.0
DEB_BUILT := $(TARGET)/tools/cargo-deb-$(DEB_VERSION)/bin/cargo-deb
RPM_VERSION := 0.21.1
RPM_BUILT := $(TARGET)/tools/cargo-generate-rpm-$(RPM_VERSION)/bin/cargo-generate-rpm
# Another machine's, such as aarch64-unknown-linux-gnu: with its Rust target, and a linker for it that cargo knows.
export PACKAGE_TARGET ?=
# Who answers for the packages: whoever hands them to others.
export PACKAGE_MAINTAINER ?= The ip-lockdown authors <ip-lockdown@localhost.localdomain>

.PHONY: package
package: ## .deb and .rpm in target/package, judged by lintian and rpmlint (PACKAGE_MAINTAINER=, PACKAGE_TARGET=)
	@tests/requirements.sh package
	@$(MAKE) --no-print-directory $(DEB_BUILT) $(RPM_BUILT)
	cargo build --release --locked --bin ip-lockdown
	$(if $(PACKAGE_TARGET),cargo build --release --locked --bin ip-lockdown --target $(PACKAGE_TARGET))
	CARGO_DEB=$(DEB_BUILT) CARGO_GENERATE_RPM=$(RPM_BUILT) packaging/package $(TARGET)

.PHONY: packaging-test
packaging-test: ## packages, images, user-data and fleets, tried in a Debian of their own (root; CASE=deb: one of them)
	@tests/requirements.sh packaging-test
	@$(MAKE) --no-print-directory package $(JUDGE)/ready
	cargo build --release --locked --package lab
	tests/packaging/run.sh $(CASE)

.PHONY: clean
clean: ## all that was built, the tools with it
	cargo clean
