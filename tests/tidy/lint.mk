# SPDX-License-Identifier: Apache-2.0
# clang-tidy, file by file: a stamp says that a file was found good.

LINT_SOURCES := $(HOST_SOURCES) $(call sources,tools)
LINT_KERNEL_SOURCES := $(filter-out $(LINT_SOURCES),$(KERNEL_SOURCES))

.PHONY: lint
lint: setup ## look for bugs with clang-tidy
	@$(AGAIN) lint-files

.PHONY: lint-files
lint-files: $(LINT_SOURCES:%.c=$(BUILD)/lint/host/%.ok) \
            $(LINT_KERNEL_SOURCES:%.c=$(BUILD)/lint/kernel/%.ok)

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
