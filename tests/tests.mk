# SPDX-License-Identifier: Apache-2.0
# Each tests/ROOM/.../NAME.c becomes one sanitized program; tests/run.py runs them and the scripts.

UNIT_SOURCES := $(call sources,$(addprefix tests/,base host storage services net drivers kernel))
UNIT_TESTS := $(UNIT_SOURCES:%.c=$(BUILD)/asan/%)

$(UNIT_TESTS): $(BUILD)/asan/tests/%: $(BUILD)/asan/tests/%.o $(ASAN_LIBRARY)
	@echo "  LINK    $@"
	@$(CC) $(ASAN_CFLAGS) -Wl,--start-group $^ -Wl,--end-group -o $@ -lcmocka

# What makes checksums right again after a change.
$(addprefix $(BUILD)/asan/tests/storage/lfsx/repair/,clone contradictions \
             journal): \
    $(BUILD)/asan/tests/fuzz/reseal.o

# It says itself what is random, and what time it is.
$(BUILD)/asan/tests/storage/lfsx/repair/budget: \
    ASAN_CFLAGS += -Wl,--wrap=os_random,--wrap=os_wall_clock_ns

.PHONY: unit
unit: $(UNIT_TESTS) ## build the unit tests

NET_TESTS := $(filter $(BUILD)/asan/tests/net/%,$(UNIT_TESTS))

$(NET_TESTS): $(ASAN_NET_LIBRARY)

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

# A program that makes pools for scripts.
SCATTER := $(BUILD)/host/tests/tools/scatter

$(SCATTER): %: %.o $(HOST_LIBRARY)
	@echo "  LINK    $@"
	@$(CC) $(HOST_CFLAGS) $^ -o $@

ONLY :=

.PHONY: test
test: setup ## build and run every test; ONLY=PATTERN picks some
	@$(AGAIN) all unit asan-tools fuzz-programs $(SIM_PROGRAMS) $(SCATTER)
	@exec tests/run.py --build '$(BUILD)' --only '$(ONLY)'

# The same programs and tests as for `make test`, but for those that need a machine or ASan.
COVERAGE := $(BUILD)/coverage
COVERED_TESTS := ^(base|decoder|drivers|host|kernel/block/|services|storage|tools/(fsck|lfsx|mkfs))
COVERED_PROGRAMS := $(patsubst $(BUILD)/%,$(COVERAGE)/%,$(filter-out $(NET_TESTS),$(UNIT_TESTS)))

.PHONY: coverage
coverage: setup ## count the lines that tests run, by room; CHECK=1 fails below the aims
	@find $(COVERAGE) -name '*.gcda' -delete 2>/dev/null || true
	@$(AGAIN) BUILD='$(COVERAGE)' SANITIZE=--coverage tools asan-tools $(COVERED_PROGRAMS) \
	    $(SCATTER:$(BUILD)/%=$(COVERAGE)/%)
	@tests/run.py --build '$(COVERAGE)' --only '$(COVERED_TESTS)'
	@exec tests/coverage/report '$(COVERAGE)' $(if $(CHECK),--check)
