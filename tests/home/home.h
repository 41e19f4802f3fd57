/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A home for drivers and the block layer in a Linux process: what kernel/ gives them besides os.h.
 * Physical addresses are virtual ones, interrupts are calls from the fake device's thread, and a
 * PCI function is what the test says it is.
 */
#ifndef TESTS_HOME_HOME_H
#define TESTS_HOME_HOME_H

#include "base/blockdev.h"
#include "kernel/pci/pci.h"

#include <stddef.h>
#include <stdint.h>

/* CPUs that drivers see; threads are spread over them. */
extern uint32_t home_cpus;
/* event_wait() waits this many times shorter: watchdogs that count their passes hurry. */
extern uint32_t home_hurry;

/* The one function of the machine; set before a driver attaches. */
struct home_function {
    void *registers; /* BAR 0 */
    size_t registers_length;
    uint16_t msix_vectors;
    uint16_t command; /* configuration space, offset 4 */
};
extern struct home_function home_function;

/* Raises an MSI-X entry of the function: runs the handler that it was pointed at. */
void home_interrupt(uint16_t entry);

/* Forgets published devices and interrupts. */
void home_reset(void);

#endif
