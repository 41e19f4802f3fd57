# SPDX-License-Identifier: Apache-2.0
# The simulator: the storage core on the home of host/sim, driven by tests/sim.

SIM_SOURCES := $(call sources,base storage host/sim tests/sim)
SIM_PROGRAMS := $(BUILD)/host/lfsx-sim $(BUILD)/asan/lfsx-sim

$(BUILD)/host/lfsx-sim: $(SIM_SOURCES:%.c=$(BUILD)/host/%.o)
	@echo "  LINK    $@"
	@$(CC) $(HOST_CFLAGS) $^ -o $@

$(BUILD)/asan/lfsx-sim: $(SIM_SOURCES:%.c=$(BUILD)/asan/%.o)
	@echo "  LINK    $@"
	@$(CC) $(ASAN_CFLAGS) $^ -o $@

SEEDS := 1-1000
MODE := random
CUTS := 200
OPS := 2

.PHONY: sim
sim: setup ## cut the power of simulated pools: SEEDS=A-B, MODE=..., OPS=N (docs/RELIABILITY.md)
	@$(AGAIN) $(BUILD)/host/lfsx-sim
	@exec $(BUILD)/host/lfsx-sim --mode '$(MODE)' --seeds '$(SEEDS)' --cuts '$(CUTS)' \
	    --ops '$(OPS)' --jobs $(shell nproc 2>/dev/null || echo 1) --progress
