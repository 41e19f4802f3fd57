/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel gigabit Ethernet controllers of the 8254x and 82574 families. Attaching one publishes a
 * netdev (kernel/device.h) named "e1000-N".
 */
#ifndef DRIVERS_E1000_E1000_H
#define DRIVERS_E1000_E1000_H

#include "kernel/pci/pci.h"

extern const struct pci_driver e1000_driver;

#endif
