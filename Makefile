# What a person does with this tree; `make help` lists it. Every target first lets scripts/setup look for what is missing.

PREFIX ?= /usr/local
DESTDIR ?=
# Words for `layerfs bench`, such as `walk create --rounds 3 --html report.html`.
BENCH ?=
# The user's toolchain, where a bare root shell does not have it on its path.
export PATH := $(HOME)/.cargo/bin:$(PATH)

TARGET = $(or $(CARGO_TARGET_DIR),target)
BINARY = $(TARGET)/release/layerfs

.PHONY: help setup demo test test-vm soak figures bench build install uninstall clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup: ## install what this machine lacks for building and testing
	@scripts/setup test

demo: ## build the release binary and show what it does, leaving nothing behind
	@scripts/setup demo
	@cargo build --release --locked --quiet
	@scripts/demo $(BINARY)

test: ## run every test once, in one configuration of each
	@scripts/setup test
	@scripts/suites

test-vm: ## boot Debian's kernels in QEMU and check limits and containers there, a quarter of an hour; LAYERFS_VM_KERNELS="6.1" is one of them
	@scripts/setup vm
	@cargo build --release --locked --quiet
	@scripts/test-vm $(BINARY)

soak: ## run every test with its full matrix; takes hours
	@scripts/setup test
	@scripts/planted-faults
	@LAYERFS_SOAK=1 CARGO_PROFILE_DEV_OPT_LEVEL=1 scripts/suites

figures: ## count what each suite passes here, on overlayfs and on fuse-overlayfs 2.0; needs root, half an hour
	@scripts/setup test
	@scripts/figures

bench: ## measure layerfs beside overlayfs, fuse-overlayfs and others by `layerfs bench $(BENCH)`; needs root, takes hours
	@scripts/setup test
	@cargo build --release --locked --quiet
	@$(BINARY) bench $(BENCH)

build:
	@scripts/setup build
	@cargo build --release --locked

install: build ## install binary, man pages and completions below PREFIX (/usr/local)
	@scripts/install $(BINARY) "$(DESTDIR)$(PREFIX)"

uninstall: ## remove exactly what install put there
	@scripts/setup build
	@scripts/uninstall "$(DESTDIR)$(PREFIX)"

clean: ## remove what was built
	@scripts/setup build
	@cargo clean
