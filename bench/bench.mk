# SPDX-License-Identifier: Apache-2.0

.PHONY: bench
bench: setup ## measure what a client sees over NBD (docs/PERFORMANCE.md)
	@$(AGAIN) tools kernel
	@BUILD='$(BUILD)' bench/nbd.py

$(BUILD)/bench/snapshot: $(BUILD)/host/bench/snapshot.o $(HOST_LIBRARY)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	@$(CC) $(HOST_CFLAGS) $^ -o $@

.PHONY: bench-snapshot
bench-snapshot: $(BUILD)/bench/snapshot ## measure what a snapshot of a volume of 1 TiB costs
	@$<

DEVICE_BENCH_SOURCES := $(call sources,base storage host/sim) bench/device.c

$(BUILD)/bench/device: $(DEVICE_BENCH_SOURCES:%.c=$(BUILD)/host/%.o)
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	@$(CC) $(HOST_CFLAGS) $^ -o $@

.PHONY: bench-device
bench-device: $(BUILD)/bench/device ## measure what a modelled SSD and disk get to do
	@$<
