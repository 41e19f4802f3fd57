# SPDX-License-Identifier: Apache-2.0
# Each fuzz_NAME.c becomes one libFuzzer program; bit_flips and flip_sample are ordinary ones.

FUZZ := $(BUILD)/fuzz
FUZZ_CC := clang
# clang has no macro that says so, and host/ asks gcc's.
FUZZ_CFLAGS := $(filter-out $(WARNINGS),$(COMMON)) -w -O1 -D_GNU_SOURCE -pthread \
               -iquote tests/home \
               -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
               -D__SANITIZE_ADDRESS__=1
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_PROGRAMS := $(FUZZ_TARGETS:%=$(FUZZ)/fuzz_%)
FUZZ_SHARED := $(addprefix tests/fuzz/,common.c everything.c everything_share.c image.c \
                 reseal.c)
FUZZ_SOURCES := $(HOST_SOURCES) kernel/block/gpt.c tests/fuzz/edits.c $(FUZZ_SHARED)
# What makes a run unlike another is replaced by tests/fuzz/common.c.
FUZZ_LINK := -Wl,--wrap=os_random,--wrap=os_wall_clock_ns

$(FUZZ)/%.o: %.c Makefile tests/fuzz/fuzz.mk
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

FLIP_SAMPLE := $(BUILD)/host/tests/fuzz/flip_sample

$(FLIP_SAMPLE): %: %.o $(addprefix $(BUILD)/host/tests/fuzz/,common.o large.o large_map.o \
                thin_disk.o) $(HOST_LIBRARY)
	@echo "  LINK    $@"
	@$(CC) $(HOST_CFLAGS) $^ $(FUZZ_LINK) -o $@

.PHONY: fuzz-programs
fuzz-programs: $(FUZZ_PROGRAMS) $(BIT_FLIPS) $(FLIP_SAMPLE)

SECONDS := 60
TARGET := $(FUZZ_TARGETS)

.PHONY: fuzz
fuzz: setup ## run the fuzzers, SECONDS=60 each; TARGET="image journal" picks some
	@$(AGAIN) fuzz-programs
	@exec tests/fuzz/run '$(BUILD)' '$(SECONDS)' $(TARGET)

PARTS := $(shell nproc)

.PHONY: flips
flips: setup ## flip every single bit of a small pool's metadata, in PARTS=processors processes
	@$(AGAIN) $(BIT_FLIPS)
	@seq 0 $$(($(PARTS) - 1)) | xargs -P $(PARTS) -I{} $(BIT_FLIPS) 1 {} $(PARTS)

.PHONY: flips-large
flips-large: setup ## flip a million bits of a large pool's metadata, some hundred at once
	@$(AGAIN) $(FLIP_SAMPLE)
	@exec $(FLIP_SAMPLE) 1000000 300000
