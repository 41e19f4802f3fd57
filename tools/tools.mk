# SPDX-License-Identifier: Apache-2.0
# A host tool is a folder here and a name in TOOLS; the folder has a dash where the name has a dot.
# All have what is in text.

TOOLS := $(addprefix $(BUILD)/bin/,mkfs.lfsx fsck.lfsx lfsx holdfastd)
ASAN_TOOLS := $(patsubst $(BUILD)/bin/%,$(BUILD)/asan/bin/%,$(TOOLS))
tool_objects = $(patsubst %.c,$(BUILD)/$(1)/%.o,\
               $(call sources,tools/text tools/$(subst .,-,$(2))))

.PHONY: tools
tools: $(TOOLS) ## build build/bin/{mkfs.lfsx,fsck.lfsx,lfsx,holdfastd}

.PHONY: asan-tools
asan-tools: $(ASAN_TOOLS)

.SECONDEXPANSION:
$(TOOLS): $(BUILD)/bin/%: $$(call tool_objects,host,$$*) $(HOST_LIBRARY)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	@$(CC) $(HOST_CFLAGS) $^ -o $@

$(ASAN_TOOLS): $(BUILD)/asan/bin/%: $$(call tool_objects,asan,$$*) $(ASAN_LIBRARY)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	@$(CC) $(ASAN_CFLAGS) $^ -o $@
