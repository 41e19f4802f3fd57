# SPDX-License-Identifier: Apache-2.0
# What people type does all the set-up that it needs, and makes what it needs in a second make:
# setup may have brought the compiler and the third-party source that variables look for.

AGAIN := $(MAKE) --no-print-directory --silent -j$(shell nproc 2>/dev/null || echo 1)

.PHONY: setup
setup: ## install missing Debian packages (sudo, or root) and fetch third-party files
	@tools/run/setup run test
	@$(AGAIN) $(LWIP_FETCHED) $(GUEST_FETCHED)

.PHONY: setup-run
setup-run:
	@tools/run/setup run

RUN_DIR := $(BUILD)/run
NBD_PORT := 10809
POOL_SIZE := 4G
DISKS :=
DISK_BUS := nvme
NIC := e1000
SMP := 2
MEM := 512M
APPEND :=

.PHONY: run
run: setup-run ## boot Holdfast in QEMU with a pool in build/run; variables: README.md
	@$(AGAIN) tools kernel
	@exec tools/run/holdfast-run --build '$(BUILD)' --run-dir '$(RUN_DIR)' --port '$(NBD_PORT)' \
	    --pool-size '$(POOL_SIZE)' --disk-bus '$(DISK_BUS)' --nic '$(NIC)' --smp '$(SMP)' \
	    --memory '$(MEM)' --append '$(APPEND)' $(foreach disk,$(DISKS),--disk '$(disk)')
