# SPDX-License-Identifier: Apache-2.0

.PHONY: bench
bench: setup ## measure what a client sees over NBD (docs/PERFORMANCE.md)
	@$(AGAIN) tools kernel
	@BUILD='$(BUILD)' bench/nbd.py
