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
