/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NVM Express controllers on PCI Express. Each active namespace is published as a block device
 * "nvme<controller>n<namespace>" (kernel/device.h). Controllers are numbered from 0 in the order in
 * which they attached; the functions below answer NOT_FOUND for a number that does not exist.
 */
#ifndef DRIVERS_NVME_NVME_H
#define DRIVERS_NVME_NVME_H

#include "base/status.h"
#include "kernel/pci/pci.h"

#include <stdbool.h>
#include <stdint.h>

extern const struct pci_driver nvme_driver;

/* SMART / Health Information (Base 5.14.1.2); counters stop at UINT64_MAX. */
struct nvme_health {
    uint8_t critical_warning; /* 0: healthy */
    int32_t temperature_celsius;
    uint8_t available_spare_percent;
    uint8_t available_spare_threshold_percent;
    uint8_t used_percent; /* of the expected life; may pass 100 */
    uint64_t bytes_read;
    uint64_t bytes_written;
    uint64_t read_commands;
    uint64_t write_commands;
    uint64_t power_cycles;
    uint64_t power_on_hours;
    uint64_t unsafe_shutdowns;
    uint64_t media_errors;
    uint64_t error_log_entries;
};

/* One entry of the Error Information log (Base 5.14.1.1). */
struct nvme_error {
    uint64_t number; /* counts up over the controller's life */
    uint16_t queue;
    uint16_t command;
    uint8_t status_type;
    uint8_t status_code;
    uint64_t lba;
    uint32_t nsid;
};

/* What the driver itself counted since it attached. */
struct nvme_statistics {
    uint32_t queues; /* I/O queue pairs */
    uint32_t in_flight;
    bool offline;
    uint64_t commands;
    uint64_t failed;            /* completed with a status other than success */
    uint64_t timeouts;          /* commands that did not answer in time */
    uint64_t aborts;            /* Abort commands sent */
    uint64_t resets;            /* controller resets begun */
    uint64_t replayed;          /* commands sent a second time after an abort or a reset */
    uint64_t stray;             /* completions that belong to no command in flight */
    uint64_t missed_interrupts; /* completions found only by looking */
};

/* Ask the controller; thread context. NOT_FOUND, GONE, AGAIN (it is being reset), TIMEOUT, IO. */
enum status nvme_health_read(uint32_t controller, struct nvme_health *health);
/* Writes at most `capacity` entries, the newest first, and their count. */
enum status nvme_errors_read(uint32_t controller, struct nvme_error *errors, uint32_t capacity,
                             uint32_t *count);

/* Any thread. NOT_FOUND. */
enum status nvme_statistics_read(uint32_t controller, struct nvme_statistics *statistics);

/* Writes what every controller is, counted and says of its health to the log. Thread context. */
void nvme_print(void);

/* Tells every controller to get ready for power-off (Base 7.6.2), waiting up to 5 s for each. No
 * request is in flight; later ones fail with GONE. Thread context. */
void nvme_shutdown(void);

#endif
