# SPDX-License-Identifier: GPL-2.0

# The kernel to build the module for: a build directory with the hook.
KDIR ?= /lib/modules/$(shell uname -r)/build
# Where the module is built.
MO ?= $(CURDIR)/build/module
# Where `make install` puts all but the module.
PREFIX ?= /usr/local

paths := $(CURDIR) $(KDIR) $(MO)
ifneq ($(word 4,$(paths))$(findstring :,$(paths)),)
$(error make takes no path with a space or a colon, and one of these has one: $(paths))
endif

# kbuild runs in another directory.
override MO := $(abspath $(MO))

# How the kernel was built, if tools/kernel/build did it.
modvars := $(shell cat $(KDIR)/modvars 2>/dev/null)

# Two makes that build in the same directory wait for each other.
kbuild = flock $(MO) $(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(MO) $(modvars)

.PHONY: module
module:
	@tools/kernel/check-kdir '$(KDIR)'
	@mkdir -p $(MO)
	+$(kbuild) modules

.PHONY: kernels
kernels:
	tools/kernel/build prod
	tools/kernel/build debug

.PHONY: demo
demo:
	tools/harness/demo $(if $(FILE),"$(FILE)")

.PHONY: try
try:
	@tools/vm/try $(or $(PROGRAM),$(error make try needs PROGRAM=./a.out)) $(ARGS)

.PHONY: shell
shell:
	@tools/vm/try --shell $(PROGRAM)

.PHONY: test
test:
	tests/run

.PHONY: test-long
test-long:
	tests/run --long

.PHONY: test-kcsan
test-kcsan:
	tests/run kcsan

.PHONY: test-kernels
test-kernels:
	tests/kernels

.PHONY: test-packages
test-packages:
	tests/packages

.PHONY: deb
deb:
	tools/packaging/build

.PHONY: soak
soak:
	tests/soak/run $(or $(HOURS),1)

.PHONY: fuzz
fuzz:
	tools/fuzz/run $(SECONDS)

.PHONY: bench
bench:
	tools/bench/run $(BENCH)

.PHONY: check
check:
	tests/check

.PHONY: rust-analyzer
rust-analyzer: module
	+$(kbuild) rust-analyzer
	ln -sf $(MO)/rust-project.json rust-project.json

# What `make install` installs beside the module: for programs, and the command.
prefix := $(DESTDIR)$(PREFIX)
.PHONY: install
install: module install-user
	+$(kbuild) INSTALL_MOD_PATH=$(DESTDIR) modules_install

# The command, which is built unless it is given.
ifndef IOIPC
IOIPC := build/ioipc/release/ioipc
install-user: ioipc
endif

.PHONY: ioipc
ioipc:
	tools/ioipc/build $(IOIPC)

.PHONY: install-user
install-user:
	install -D $(IOIPC) $(prefix)/bin/ioipc
	install -D -m 644 include/uapi/linux/io_uring/ipc.h $(prefix)/include/linux/io_uring/ipc.h
	install -D -m 644 tools/harness/liburing_ipc.h $(prefix)/include/liburing_ipc.h
	mkdir -p $(prefix)/lib/pkgconfig $(prefix)/lib/modules-load.d
	sed 's|@PREFIX@|$(PREFIX)|' tools/harness/io-uring-ipc.pc.in >$(prefix)/lib/pkgconfig/io-uring-ipc.pc
	echo io_uring_ipc >$(prefix)/lib/modules-load.d/io_uring_ipc.conf
	docs/man/install $(prefix)/share/man
	for shell in bash:bash-completion/completions/ioipc zsh:zsh/site-functions/_ioipc fish:fish/vendor_completions.d/ioipc.fish; do \
		$(IOIPC) completions $${shell%%:*} | install -D -m 644 /dev/stdin $(prefix)/share/$${shell#*:} || exit; \
	done

.PHONY: uninstall
uninstall:
	rm -f $(DESTDIR)/lib/modules/$(shell cat $(KDIR)/include/config/kernel.release 2>/dev/null || uname -r)/updates/io_uring_ipc.ko
	docs/man/install --remove $(prefix)/share/man
	cd $(prefix) && rm -f bin/ioipc include/linux/io_uring/ipc.h include/liburing_ipc.h \
		lib/pkgconfig/io-uring-ipc.pc lib/modules-load.d/io_uring_ipc.conf \
		share/bash-completion/completions/ioipc share/zsh/site-functions/_ioipc \
		share/fish/vendor_completions.d/ioipc.fish

.PHONY: clean
clean:
	rm -rf build target rust-project.json

.PHONY: help
help:
	@echo 'make [KDIR=DIR]       build io_uring_ipc.ko for the kernel built in DIR, in build/module'
	@echo 'make demo [FILE=F]    boot a kernel in QEMU and stream a file through channels'
	@echo 'make try PROGRAM=P    run a program of yours in the guest, with the module (ARGS="A B")'
	@echo 'make shell            a root shell in the guest, with the module (PROGRAM="P Q": with these)'
	@echo 'make test             all tests: on the host, and in QEMU on both kernels'
	@echo '                      (tests/run --all: also the parts that are left out to save time)'
	@echo 'make test-long        what takes hours: larger searches, and longer runs of a few tests'
	@echo 'make test-kcsan       the stress tests on a kernel that finds data races'
	@echo 'make test-kernels     what runs on the production kernel, on each version of Linux with patches'
	@echo 'make deb              packages for Debian, in build/deb (CONFIG=FILE, SIGN_KEY=FILE)'
	@echo 'make test-packages    install these packages in Debian 13 and boot their kernel'
	@echo 'make soak HOURS=N     ten channels and forty processes for hours (default: 1)'
	@echo 'make fuzz [SECONDS=N] random tests against a model, on the debug kernel, for N seconds'
	@echo 'make bench            compare with pipes, sockets, queues and shared memory (BENCH=OPTIONS)'
	@echo 'make check            formatting, lints, warnings, unsafe blocks'
	@echo 'make kernels          build the two kernels that the tests boot'
	@echo 'make install          install the module, headers, man pages and ioipc (KDIR=, PREFIX=, DESTDIR=)'
	@echo 'make install-user     the same without the module (IOIPC=FILE: with this ioipc, do not build it)'
	@echo 'make ioipc            build ioipc, in build/ioipc/release'
	@echo 'make uninstall        remove all of that (KDIR=, PREFIX=, DESTDIR=)'
	@echo 'make rust-analyzer    write rust-project.json (KDIR=)'
	@echo 'make clean            remove what was built here; kernels and tools stay in the cache'
	@echo 'KERNEL=7.2 make ...   the same on another version of Linux than 7.3, if it has patches'
