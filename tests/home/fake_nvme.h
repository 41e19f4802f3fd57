/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NVMe controller made of a page of registers and a thread that looks at them, for what no
 * emulator can be made to do: commands that are never answered, answers that come too late or to
 * nobody, registers that read as ones. It checks what the driver sends and counts what is wrong.
 */
#ifndef TESTS_HOME_FAKE_NVME_H
#define TESTS_HOME_FAKE_NVME_H

#include "drivers/nvme/nvme_regs.h"

#include <stdbool.h>
#include <stdint.h>

struct fake_nvme;

struct fake_nvme_options {
    uint32_t block_shift;
    uint64_t blocks;
    uint8_t mdts;
    uint16_t msix_vectors;
    uint16_t queues; /* that it grants */
    bool never_ready;
};

/* The fake becomes the function of tests/home/home.h. */
struct fake_nvme *fake_nvme_start(const struct fake_nvme_options *options);
void fake_nvme_stop(struct fake_nvme *fake);

uint8_t *fake_nvme_medium(struct fake_nvme *fake);

/* Keeps so many of the next I/O commands to itself. */
void fake_nvme_hold(struct fake_nvme *fake, uint32_t count);
/* Commands kept now. */
uint32_t fake_nvme_held(struct fake_nvme *fake);
/* Whether an Abort ends a kept command. */
void fake_nvme_obey_aborts(struct fake_nvme *fake, bool obey);
/* Answers with success what was kept, also across a reset: too late. */
void fake_nvme_answer_late(struct fake_nvme *fake);
/* Posts a completion of an identifier that is not in flight. */
void fake_nvme_invent(struct fake_nvme *fake, uint16_t queue, uint16_t id);
/* The next I/O command fails with this status field. */
void fake_nvme_fail_next(struct fake_nvme *fake, uint16_t status);
/* CSTS.RDY stays when the driver disables the controller. */
void fake_nvme_refuse_disable(struct fake_nvme *fake);
/* All registers read as ones. */
void fake_nvme_remove(struct fake_nvme *fake);
/* Completions raise no interrupt. */
void fake_nvme_lose_interrupts(struct fake_nvme *fake);

struct fake_nvme_counts {
    uint32_t enables, aborts, flushes, deallocations, fua_writes, violations;
    uint64_t last_deallocated_lba, last_deallocated_blocks;
    bool shut_down;
};
struct fake_nvme_counts fake_nvme_counts(struct fake_nvme *fake);

#endif
