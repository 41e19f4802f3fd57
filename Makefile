# SPDX-License-Identifier: Apache-2.0
# Holdfast. `make help` lists what can be made. The rules of a room stand in the room.

BUILD := build
CC := gcc
# Drivers in the kernel image: a driver is a folder of drivers/, this word, and a line in
# kernel/main.c.
DRIVERS := nvme e1000
SERVICES := nbd

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

WARNINGS := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wpointer-arith \
            -Wshadow -Wvla
COMMON := -std=gnu11 -g $(WARNINGS) -I. -fno-strict-aliasing -fno-omit-frame-pointer \
          -ffunction-sections -fdata-sections -MMD -MP

# Source is found, not listed: the .c files of the folders and of all folders in them.
sources = $(sort $(foreach entry,$(wildcard $(addsuffix /*,$(1))), \
          $(filter %.c,$(entry)) $(call sources,$(entry))))

# What is the same in every home.
CORE_SOURCES := $(call sources,base storage $(addprefix services/,$(SERVICES)))

.PHONY: all
all: tools kernel ## build the kernel image and the host tools

include tools/run/run.mk            # setup, run
include third_party/third_party.mk  # lwIP; the Linux that tests boot
include net/net.mk                  # TCP/IP for the kernel and its tests
include kernel/kernel.mk            # the bare-metal home: build/holdfast.elf
include host/host.mk                # the Linux-process home, optimised and sanitized
include tools/tools.mk              # mkfs.lfsx, fsck.lfsx, holdfastd
include tests/tests.mk              # unit tests, test, coverage
include tests/sim/sim.mk            # sim
include tests/fuzz/fuzz.mk          # fuzz, flips
include tests/tidy/lint.mk          # lint
include bench/bench.mk              # bench

.PHONY: clean
clean: ## remove build/ (downloads in .cache/ stay)
	rm -rf $(BUILD)

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-zA-Z_-]+):.*## (.*)$$/  \1|\2/p' $(filter Makefile %.mk,$(MAKEFILE_LIST)) \
	    | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

-include $(shell find $(BUILD) -name '*.d' -type f 2>/dev/null)
