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

# Not optimised, and without debug information: it takes a third of the time to build, and a second to run.
$(DENY_BUILT):
	CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-deny --version $(DENY_VERSION) --locked --debug \
		--target-dir $(TARGET)/tools/build --root $(TARGET)/tools/cargo-deny-$(DENY_VERSION)
	rm -rf $(TARGET)/tools/build

.PHONY: install
install: ## after make build: program, man page, completions (PREFIX=/usr, DESTDIR=)
	@test -x $(BIN) || { echo "$(BIN) is not there: make build first" >&2; exit 1; }
	install -D -m 755 $(BIN) "$(DESTDIR)$(SBINDIR)/ip-lockdown"
	install -D -m 644 -t "$(DESTDIR)$(DOCDIR)" README.md CHANGELOG.md docs/findings.md docs/json.md docs/trust-policy.md
	$(BIN) generate man | install -D -m 644 /dev/stdin "$(DESTDIR)$(MANDIR)/man8/ip-lockdown.8"
	$(BIN) generate completions bash | install -D -m 644 /dev/stdin "$(DESTDIR)$(BASH_COMPLETIONS)/ip-lockdown"
	$(BIN) generate completions zsh | install -D -m 644 /dev/stdin "$(DESTDIR)$(ZSH_COMPLETIONS)/_ip-lockdown"
	$(BIN) generate completions fish | install -D -m 644 /dev/stdin "$(DESTDIR)$(FISH_COMPLETIONS)/ip-lockdown.fish"

.PHONY: clean
clean: ## all that was built, the tools with it
	cargo clean
