# SPDX-License-Identifier: Apache-2.0
# The Linux-process home, as two libraries with the storage core in them: build/host, optimised, and
# build/asan, sanitized, for tests.

HOST_SOURCES := $(CORE_SOURCES) $(filter-out host/sim/%,$(call sources,host))
HOST_CFLAGS := $(COMMON) -O2 -D_GNU_SOURCE -pthread
HOST_LIBRARY := $(BUILD)/host/libholdfast.a
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
ASAN_CFLAGS := $(COMMON) -O1 -D_GNU_SOURCE -pthread $(SANITIZE)
ASAN_LIBRARY := $(BUILD)/asan/libholdfast.a

$(BUILD)/host/%.o: %.c Makefile host/host.mk
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(HOST_CFLAGS) -c $< -o $@

$(BUILD)/asan/%.o: %.c Makefile host/host.mk
	@mkdir -p $(@D)
	@echo "  CC asan $<"
	@$(CC) $(ASAN_CFLAGS) -c $< -o $@

$(HOST_LIBRARY): $(HOST_SOURCES:%.c=$(BUILD)/host/%.o)
	@rm -f $@ && ar rcs $@ $^

$(ASAN_LIBRARY): $(HOST_SOURCES:%.c=$(BUILD)/asan/%.o)
	@rm -f $@ && ar rcs $@ $^
