# SPDX-License-Identifier: Apache-2.0
# Holdfast. `make help` lists what can be made.

BUILD := build
CC := gcc
# Drivers in the kernel image: a driver is a folder of drivers/, this word, and a line in
# kernel/main.c.
DRIVERS := nvme e1000
SERVICES := nbd

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:

WARNINGS := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wpointer-arith \
            -Wshadow -Wvla
COMMON := -std=gnu11 -g $(WARNINGS) -I. -fno-strict-aliasing -fno-omit-frame-pointer \
          -ffunction-sections -fdata-sections -MMD -MP

sources = $(sort $(wildcard $(addsuffix /*.c,$(1))))

CORE_SOURCES := $(call sources,base storage/journal storage/mvcc storage/lfsx \
                $(addprefix services/,$(SERVICES)))

# ---- the Linux-process home: build/host (optimised) and build/asan (sanitized, for tests) ----

HOST_SOURCES := $(CORE_SOURCES) $(call sources,host)
HOST_CFLAGS := $(COMMON) -O2 -D_GNU_SOURCE -pthread
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
ASAN_CFLAGS := $(COMMON) -O1 -D_GNU_SOURCE -pthread $(SANITIZE)
HOST_LIBRARY := $(BUILD)/host/libholdfast.a
ASAN_LIBRARY := $(BUILD)/asan/libholdfast.a

TOOLS := $(BUILD)/bin/mkfs.lfsx $(BUILD)/bin/fsck.lfsx $(BUILD)/bin/holdfastd
ASAN_TOOLS := $(patsubst $(BUILD)/bin/%,$(BUILD)/asan/bin/%,$(TOOLS))
TOOL_DIR_mkfs.lfsx := tools/mkfs-lfsx
TOOL_DIR_fsck.lfsx := tools/fsck-lfsx
TOOL_DIR_holdfastd := tools/holdfastd

.PHONY: all
all: tools kernel ## build the kernel image and the host tools

.PHONY: tools asan-tools
asan-tools: $(ASAN_TOOLS)
tools: $(TOOLS) ## build build/bin/{mkfs.lfsx,fsck.lfsx,holdfastd}

$(BUILD)/host/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(HOST_CFLAGS) -c $< -o $@

$(BUILD)/asan/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC asan $<"
	@$(CC) $(ASAN_CFLAGS) -c $< -o $@

$(HOST_LIBRARY): $(HOST_SOURCES:%.c=$(BUILD)/host/%.o)
	@rm -f $@ && ar rcs $@ $^

$(ASAN_LIBRARY): $(HOST_SOURCES:%.c=$(BUILD)/asan/%.o)
	@rm -f $@ && ar rcs $@ $^

tool_objects = $(patsubst %.c,$(BUILD)/$(1)/%.o,$(wildcard $(TOOL_DIR_$(2))/*.c))

.SECONDEXPANSION:
$(TOOLS): $(BUILD)/bin/%: $$(call tool_objects,host,$$*) $(HOST_LIBRARY)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	@$(CC) $(HOST_CFLAGS) $^ -o $@

$(ASAN_TOOLS): $(BUILD)/asan/bin/%: $$(call tool_objects,asan,$$*) $(ASAN_LIBRARY)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	@$(CC) $(ASAN_CFLAGS) $^ -o $@

# ---- unit tests: tests/ROOM/NAME.c each becomes one sanitized program ----

UNIT_SOURCES := $(sort $(wildcard tests/base/*.c tests/host/*.c tests/storage/*/*.c \
                tests/services/*/*.c tests/net/*.c tests/drivers/*/*.c tests/kernel/*/*.c))
UNIT_TESTS := $(UNIT_SOURCES:%.c=$(BUILD)/asan/%)

$(UNIT_TESTS): $(BUILD)/asan/tests/%: $(BUILD)/asan/tests/%.o $(ASAN_LIBRARY)
	@echo "  LINK    $@"
	@$(CC) $(ASAN_CFLAGS) -Wl,--start-group $^ -Wl,--end-group -o $@ -lcmocka

.PHONY: unit
unit: $(UNIT_TESTS) ## build the unit tests

# ---- the simulator: the storage core on the home of host/sim, by tests/sim ----

SIM_SOURCES := $(call sources,base storage/journal storage/mvcc storage/lfsx host/sim tests/sim)
SIM_PROGRAMS := $(BUILD)/host/lfsx-sim $(BUILD)/asan/lfsx-sim

$(BUILD)/host/lfsx-sim: $(SIM_SOURCES:%.c=$(BUILD)/host/%.o)
	@echo "  LINK    $@"
	@$(CC) $(HOST_CFLAGS) $^ -o $@

$(BUILD)/asan/lfsx-sim: $(SIM_SOURCES:%.c=$(BUILD)/asan/%.o)
	@echo "  LINK    $@"
	@$(CC) $(ASAN_CFLAGS) $^ -o $@

# Kernel code that needs no processor of its own runs in unit tests too: tests/home gives it what
# kernel/ would, and its headers stand in for those of the same name.
HOMELESS_SOURCES := $(call sources,kernel/block drivers/nvme tests/home)
ASAN_HOMELESS := $(HOMELESS_SOURCES:%.c=$(BUILD)/asan/%.o)
HOMELESS_TESTS := $(filter $(BUILD)/asan/tests/kernel/block/% \
                  $(BUILD)/asan/tests/drivers/nvme/%,$(UNIT_TESTS))

$(ASAN_HOMELESS) $(HOMELESS_TESTS:%=%.o): ASAN_CFLAGS += -iquote tests/home

$(BUILD)/asan/libhomeless.a: $(ASAN_HOMELESS)
	@rm -f $@ && ar rcs $@ $^

$(HOMELESS_TESTS): $(BUILD)/asan/libhomeless.a

# ---- fuzzing: tests/fuzz/fuzz_NAME.c each becomes one libFuzzer program ----

FUZZ := $(BUILD)/fuzz
FUZZ_CC := clang
# clang has no macro that says so, and host/ asks gcc's.
FUZZ_CFLAGS := $(filter-out $(WARNINGS),$(COMMON)) -w -O1 -D_GNU_SOURCE -pthread \
               -iquote tests/home \
               -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
               -D__SANITIZE_ADDRESS__=1
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_PROGRAMS := $(FUZZ_TARGETS:%=$(FUZZ)/fuzz_%)
FUZZ_SHARED := $(addprefix tests/fuzz/,common.c image.c reseal.c)
FUZZ_SOURCES := $(HOST_SOURCES) kernel/block/gpt.c $(FUZZ_SHARED)
# What makes a run unlike another is replaced by tests/fuzz/common.c.
FUZZ_LINK := -Wl,--wrap=os_random,--wrap=os_wall_clock_ns

$(FUZZ)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC fuzz $<"
	@$(FUZZ_CC) $(FUZZ_CFLAGS) -c $< -o $@

$(FUZZ)/libholdfast.a: $(FUZZ_SOURCES:%.c=$(FUZZ)/%.o)
	@rm -f $@ && ar rcs $@ $^

$(FUZZ_PROGRAMS): $(FUZZ)/fuzz_%: $(FUZZ)/tests/fuzz/fuzz_%.o $(FUZZ)/libholdfast.a
	@echo "  LINK    $@"
	@$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer $^ $(FUZZ_LINK) -o $@

BIT_FLIPS := $(BUILD)/host/tests/fuzz/bit_flips

$(BIT_FLIPS): %: %.o $(FUZZ_SHARED:%.c=$(BUILD)/host/%.o) $(HOST_LIBRARY)
	@echo "  LINK    $@"
	@$(CC) $(HOST_CFLAGS) $^ $(FUZZ_LINK) -o $@

.PHONY: fuzz-programs
fuzz-programs: $(FUZZ_PROGRAMS) $(BIT_FLIPS)

# ---- lwIP: fetched once, compiled into the kernel and into net/'s tests ----

LWIP := $(BUILD)/third_party/lwip
LWIP_FETCHED := $(LWIP)/.fetched
LWIP_SOURCES := $(addprefix core/,def.c inet_chksum.c init.c ip.c mem.c memp.c netif.c pbuf.c \
                tcp.c tcp_in.c tcp_out.c timeouts.c udp.c) \
                $(addprefix core/ipv4/,dhcp.c etharp.c icmp.c ip4.c ip4_addr.c) \
                api/tcpip.c netif/ethernet.c
LWIP_CFLAGS := -isystem $(LWIP)/src/include -isystem net
# Not lwIP's own objects: its use of packed headers at odd addresses is what x86-64 allows.
LWIP_ASAN := -fno-sanitize=alignment

NET_SOURCES := $(call sources,net)
ASAN_NET_LIBRARY := $(BUILD)/asan/libnet.a
NET_TESTS := $(filter $(BUILD)/asan/tests/net/%,$(UNIT_TESTS))

$(LWIP_FETCHED): third_party/lock third_party/fetch.sh
	@third_party/fetch.sh lwip $(BUILD)/third_party

$(BUILD)/asan/third_party/lwip/%.o: $(LWIP_FETCHED) Makefile
	@mkdir -p $(@D)
	@echo "  CC asan lwip/$*.c"
	@$(CC) $(ASAN_CFLAGS) $(LWIP_CFLAGS) $(LWIP_ASAN) -w -c $(LWIP)/src/$*.c -o $@

$(BUILD)/kernel/third_party/lwip/%.o: $(LWIP_FETCHED) Makefile
	@mkdir -p $(@D)
	@echo "  CC kern lwip/$*.c"
	@$(CC) $(KERNEL_CFLAGS) $(LWIP_CFLAGS) -isystem net/libc -w -c $(LWIP)/src/$*.c -o $@

$(NET_SOURCES:%.c=$(BUILD)/asan/%.o) $(NET_SOURCES:%.c=$(BUILD)/kernel/%.o): $(LWIP_FETCHED)
$(BUILD)/asan/net/%.o: ASAN_CFLAGS += $(LWIP_CFLAGS) $(LWIP_ASAN)
$(BUILD)/kernel/net/%.o: KERNEL_CFLAGS += $(LWIP_CFLAGS) -isystem net/libc

$(ASAN_NET_LIBRARY): $(NET_SOURCES:%.c=$(BUILD)/asan/%.o) \
                     $(LWIP_SOURCES:%.c=$(BUILD)/asan/third_party/lwip/%.o)
	@rm -f $@ && ar rcs $@ $^

$(NET_TESTS): $(ASAN_NET_LIBRARY)

# ---- a Linux for a virtual machine: the client of tests/e2e/linux_client.py ----

GUEST_FETCHED := $(BUILD)/third_party/guest/.fetched

$(GUEST_FETCHED): third_party/packages third_party/unpack.sh
	@third_party/unpack.sh guest $(BUILD)/third_party

# ---- the bare-metal home: build/holdfast.elf ----

KERNEL_SOURCES := $(CORE_SOURCES) $(call sources,net kernel kernel/boot kernel/cpu kernel/mm \
                  kernel/irq kernel/sched kernel/time kernel/pci kernel/acpi kernel/console \
                  kernel/block kernel/lib kernel/os kernel/selftest \
                  $(addprefix drivers/,$(DRIVERS)))
KERNEL_ASSEMBLY := $(sort $(wildcard kernel/*/*.S))
KERNEL_FREESTANDING := -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
                  -mgeneral-regs-only -fno-asynchronous-unwind-tables -fno-stack-protector \
                  -fno-optimize-sibling-calls \
                  -nostdinc -isystem $(shell $(CC) -print-file-name=include 2>/dev/null) \
                  -U__linux__ -U__linux -Ulinux -U__unix__ -U__unix -Uunix -U__gnu_linux__
# MEMORY_DEBUG=1 builds red zones, poisoning and leak reports in (kernel/mm/debug.h).
MEMORY_DEBUG := 0
KERNEL_CFLAGS := $(COMMON) -O2 $(KERNEL_FREESTANDING) -DMEMORY_DEBUG=$(MEMORY_DEBUG)
KERNEL_OBJECTS := $(KERNEL_SOURCES:%.c=$(BUILD)/kernel/%.o) \
                  $(KERNEL_ASSEMBLY:%.S=$(BUILD)/kernel/%.o) \
                  $(LWIP_SOURCES:%.c=$(BUILD)/kernel/third_party/lwip/%.o)

$(BUILD)/kernel/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC kern $<"
	@$(CC) $(KERNEL_CFLAGS) -c $< -o $@

$(BUILD)/kernel/%.o: %.S Makefile
	@mkdir -p $(@D)
	@echo "  AS kern $<"
	@$(CC) $(KERNEL_CFLAGS) -c $< -o $@

# The compiler would turn the loops of memcpy and strlen into calls of memcpy and strlen.
$(BUILD)/kernel/kernel/lib/%.o: KERNEL_CFLAGS += -fno-tree-loop-distribute-patterns -fno-builtin

# Linked twice: the second time with the symbol table made from the first. Loaders that know
# Multiboot 1 take 32-bit ELF files only; holdfast64.elf is for the debugger.
KERNEL_LD := ld -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none \
             --gc-sections -T kernel/boot/kernel.ld

$(BUILD)/kernel/symbols0.S: /dev/null
$(BUILD)/kernel/symbols1.S: $(BUILD)/kernel/holdfast0.nm
$(BUILD)/kernel/symbols0.S $(BUILD)/kernel/symbols1.S: kernel/cpu/symbols.awk
	@mkdir -p $(@D)
	@awk -f kernel/cpu/symbols.awk $(filter-out %.awk,$^) > $@

KERNEL_PASSES := $(BUILD)/kernel/holdfast0.elf $(BUILD)/kernel/holdfast1.elf
$(KERNEL_PASSES): $(BUILD)/kernel/holdfast%.elf: $(KERNEL_OBJECTS) $(BUILD)/kernel/symbols%.o \
                  kernel/boot/kernel.ld
	@echo "  LINK    $@"
	@$(KERNEL_LD) $(filter %.o,$^) -o $@

$(BUILD)/kernel/symbols0.o $(BUILD)/kernel/symbols1.o: %.o: %.S
	@$(CC) -c $< -o $@

$(BUILD)/kernel/holdfast0.nm: $(BUILD)/kernel/holdfast0.elf
	@nm -n $< > $@

$(BUILD)/holdfast64.elf: $(BUILD)/kernel/holdfast1.elf
	@cp $< $@

$(BUILD)/holdfast.elf: $(BUILD)/holdfast64.elf
	@echo "  IMAGE   $@"
	@objcopy -O elf32-i386 --strip-all $< $@

.PHONY: kernel
kernel: $(BUILD)/holdfast.elf ## build build/holdfast.elf

# ---- what people type: each of these does all the set-up that it needs ----
# They make again what they need in a second make, because setup may have brought the compiler and
# the third-party source that the variables above look for.

RUN_DIR := $(BUILD)/run
NBD_PORT := 10809
POOL_SIZE := 4G
DISKS :=
DISK_BUS := nvme
NIC := e1000
SMP := 2
MEM := 512M
APPEND :=
ONLY :=
AGAIN := $(MAKE) --no-print-directory --silent -j$(shell nproc 2>/dev/null || echo 1)

.PHONY: setup
setup: ## install missing Debian packages (sudo, or root) and fetch third-party files
	@tools/run/setup run test
	@$(AGAIN) $(LWIP_FETCHED) $(GUEST_FETCHED)

.PHONY: setup-run
setup-run:
	@tools/run/setup run

.PHONY: run
run: setup-run ## boot Holdfast in QEMU with a pool in build/run; variables: README.md
	@$(AGAIN) tools kernel
	@exec tools/run/holdfast-run --build '$(BUILD)' --run-dir '$(RUN_DIR)' --port '$(NBD_PORT)' \
	    --pool-size '$(POOL_SIZE)' --disk-bus '$(DISK_BUS)' --nic '$(NIC)' --smp '$(SMP)' \
	    --memory '$(MEM)' --append '$(APPEND)' $(foreach disk,$(DISKS),--disk '$(disk)')

.PHONY: test
test: setup ## build and run every test; ONLY=PATTERN picks some
	@$(AGAIN) all unit asan-tools fuzz-programs $(SIM_PROGRAMS)
	@exec tests/run.py --build '$(BUILD)' --only '$(ONLY)'

.PHONY: bench
bench: setup ## measure what a client sees over NBD (docs/PERFORMANCE.md)
	@$(AGAIN) tools kernel
	@BUILD='$(BUILD)' bench/nbd.py

SEEDS := 1-1000
MODE := random
CUTS := 200

.PHONY: sim
sim: setup ## cut the power of simulated pools: SEEDS=A-B, MODE=... (docs/RELIABILITY.md)
	@$(AGAIN) $(BUILD)/host/lfsx-sim
	@exec $(BUILD)/host/lfsx-sim --mode '$(MODE)' --seeds '$(SEEDS)' --cuts '$(CUTS)' \
	    --jobs $(shell nproc 2>/dev/null || echo 1) --progress

SECONDS := 60
TARGET := $(FUZZ_TARGETS)

.PHONY: fuzz
fuzz: setup ## run the fuzzers, SECONDS=60 each; TARGET="image journal" picks some
	@$(AGAIN) fuzz-programs
	@exec tests/fuzz/run '$(BUILD)' '$(SECONDS)' $(TARGET)

.PHONY: flips
flips: setup ## flip every single bit of a small pool's metadata (minutes)
	@$(AGAIN) $(BIT_FLIPS)
	@exec $(BIT_FLIPS) 1

# The same programs and tests as for `make test`, but for those that need a machine or ASan.
COVERAGE := $(BUILD)/coverage
COVERED_TESTS := ^(base|decoder|drivers|host|kernel/block/|services|storage|tools/(fsck|mkfs))
COVERED_PROGRAMS := $(patsubst $(BUILD)/%,$(COVERAGE)/%,$(filter-out $(NET_TESTS),$(UNIT_TESTS)))

.PHONY: coverage
coverage: setup ## count the lines that tests run, by room; CHECK=1 fails below the aims
	@find $(COVERAGE) -name '*.gcda' -delete 2>/dev/null || true
	@$(AGAIN) BUILD='$(COVERAGE)' SANITIZE=--coverage tools asan-tools $(COVERED_PROGRAMS)
	@tests/run.py --build '$(COVERAGE)' --only '$(COVERED_TESTS)'
	@exec tests/coverage/report '$(COVERAGE)' $(if $(CHECK),--check)

.PHONY: lint
lint: setup ## look for bugs with clang-tidy
	@$(AGAIN) lint-files

LINT_SOURCES := $(HOST_SOURCES) $(wildcard tools/*/*.c)
LINT_KERNEL_SOURCES := $(filter-out $(LINT_SOURCES),$(KERNEL_SOURCES))
LINT_STAMPS := $(LINT_SOURCES:%.c=$(BUILD)/lint/host/%.ok) \
               $(LINT_KERNEL_SOURCES:%.c=$(BUILD)/lint/kernel/%.ok)

.PHONY: lint-files
lint-files: $(LINT_STAMPS)

$(BUILD)/lint/host/%.ok: %.c .clang-tidy
	@mkdir -p $(@D)
	@echo "  LINT    $<"
	@clang-tidy --quiet $< -- $(HOST_CFLAGS)
	@touch $@

$(BUILD)/lint/kernel/%.ok: %.c .clang-tidy
	@mkdir -p $(@D)
	@echo "  LINT    $<"
	@clang-tidy --quiet $< -- $(KERNEL_CFLAGS) $(LWIP_CFLAGS) -isystem net/libc
	@touch $@

# ---- housekeeping ----

.PHONY: clean
clean: ## remove build/ (downloads in .cache/ stay)
	rm -rf $(BUILD)

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-zA-Z_-]+):.*## (.*)$$/  \1|\2/p' $(MAKEFILE_LIST) \
	    | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

-include $(shell find $(BUILD) -name '*.d' -type f 2>/dev/null)
