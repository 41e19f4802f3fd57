# SPDX-License-Identifier: Apache-2.0
# The bare-metal home: build/holdfast.elf, and holdfast64.elf for the debugger.

# MEMORY_DEBUG=1 builds red zones, poisoning and leak reports in (kernel/mm/debug.h).
MEMORY_DEBUG := 0
KERNEL_FREESTANDING := -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
                  -mgeneral-regs-only -fno-asynchronous-unwind-tables -fno-stack-protector \
                  -fno-optimize-sibling-calls \
                  -nostdinc -isystem $(shell $(CC) -print-file-name=include 2>/dev/null) \
                  -U__linux__ -U__linux -Ulinux -U__unix__ -U__unix -Uunix -U__gnu_linux__
KERNEL_CFLAGS := $(COMMON) -O2 $(KERNEL_FREESTANDING) -DMEMORY_DEBUG=$(MEMORY_DEBUG)
KERNEL_SOURCES := $(CORE_SOURCES) $(NET_SOURCES) \
                  $(call sources,kernel $(addprefix drivers/,$(DRIVERS)))
KERNEL_ASSEMBLY := $(sort $(wildcard kernel/*/*.S))
KERNEL_OBJECTS := $(KERNEL_SOURCES:%.c=$(BUILD)/kernel/%.o) \
                  $(KERNEL_ASSEMBLY:%.S=$(BUILD)/kernel/%.o) \
                  $(LWIP_SOURCES:%.c=$(BUILD)/kernel/third_party/lwip/%.o)

.PHONY: kernel
kernel: $(BUILD)/holdfast.elf ## build build/holdfast.elf

$(BUILD)/kernel/%.o: %.c Makefile kernel/kernel.mk
	@mkdir -p $(@D)
	@echo "  CC kern $<"
	@$(CC) $(KERNEL_CFLAGS) -c $< -o $@

$(BUILD)/kernel/%.o: %.S Makefile kernel/kernel.mk
	@mkdir -p $(@D)
	@echo "  AS kern $<"
	@$(CC) $(KERNEL_CFLAGS) -c $< -o $@

# The compiler would turn the loops of memcpy and strlen into calls of memcpy and strlen.
$(BUILD)/kernel/kernel/lib/%.o: KERNEL_CFLAGS += -fno-tree-loop-distribute-patterns -fno-builtin

# Linked twice: the second time with the symbol table made from the first.
KERNEL_LD := ld -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none \
             --gc-sections -T kernel/boot/kernel.ld
KERNEL_PASSES := $(BUILD)/kernel/holdfast0.elf $(BUILD)/kernel/holdfast1.elf

$(BUILD)/kernel/symbols0.S: /dev/null
$(BUILD)/kernel/symbols1.S: $(BUILD)/kernel/holdfast0.nm
$(BUILD)/kernel/symbols0.S $(BUILD)/kernel/symbols1.S: kernel/cpu/symbols.awk
	@mkdir -p $(@D)
	@awk -f kernel/cpu/symbols.awk $(filter-out %.awk,$^) > $@

$(BUILD)/kernel/symbols0.o $(BUILD)/kernel/symbols1.o: %.o: %.S
	@$(CC) -c $< -o $@

$(KERNEL_PASSES): $(BUILD)/kernel/holdfast%.elf: $(KERNEL_OBJECTS) $(BUILD)/kernel/symbols%.o \
                  kernel/boot/kernel.ld
	@echo "  LINK    $@"
	@$(KERNEL_LD) $(filter %.o,$^) -o $@

$(BUILD)/kernel/holdfast0.nm: $(BUILD)/kernel/holdfast0.elf
	@nm -n $< > $@

$(BUILD)/holdfast64.elf: $(BUILD)/kernel/holdfast1.elf
	@cp $< $@

# Loaders that know Multiboot 1 take 32-bit ELF files only.
$(BUILD)/holdfast.elf: $(BUILD)/holdfast64.elf
	@echo "  IMAGE   $@"
	@objcopy -O elf32-i386 --strip-all $< $@
