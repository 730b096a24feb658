# SPDX-License-Identifier: GPL-2.0

# The kernel to build the module for: a build directory with the hook.
KDIR ?= /lib/modules/$(shell uname -r)/build
# Where the module is built.
MO ?= $(CURDIR)/build/module

# How the kernel was built, if tools/kernel/build did it.
modvars := $(shell cat $(KDIR)/modvars 2>/dev/null)

kbuild = $(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(MO) $(modvars)

.PHONY: module
module:
	@mkdir -p $(MO)
	+$(kbuild) modules
