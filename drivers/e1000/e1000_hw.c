/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller itself: reset, address, general settings, link, counters. Called by one thread at
 * a time: at attach, in start and stop, or by the service thread in between.
 */
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "drivers/e1000/e1000_device.h"

#define MILLISECOND 1000000ull

/* SDM 13.4.18: at most 20,000 interrupts a second, so that a lone frame waits for 50 us at most and
 * a stream of them comes in bunches. */
#define INTERRUPT_INTERVAL 195u

/* True once the bits under the mask have this value; polls for up to the time-out. */
static bool wait_for(struct e1000 *device, uint32_t offset, uint32_t mask, uint32_t value,
                     uint64_t timeout_ns) {
    uint64_t end = os_now_ns() + timeout_ns;
    for (;;) {
        bool late = os_now_ns() >= end;
        if ((e1000_read(device, offset) & mask) == value)
            return true;
        if (late)
            return false;
        os_sleep_ns(MILLISECOND / 4);
    }
}

/* 82574 10.2.2.1 (CTRL): bus requests have to end before a reset, or the PCIe link may be left in
 * the middle of one. */
static void stop_bus_requests(struct e1000 *device) {
    e1000_write(device, E1000_CTRL, e1000_read(device, E1000_CTRL) | E1000_CTRL_MASTER_DISABLE);
    if (!wait_for(device, E1000_STATUS, E1000_STATUS_MASTER_ENABLE, 0, 100 * MILLISECOND))
        log_warning("e1000", "%s: bus requests do not end, resetting nevertheless",
                    device->pci->address);
}

static void quiesce(struct e1000 *device) {
    bool running = (e1000_read(device, E1000_RCTL) & E1000_RCTL_EN) ||
                   (e1000_read(device, E1000_TCTL) & E1000_TCTL_EN);
    e1000_write(device, E1000_IMC, E1000_ALL_ONES);
    e1000_write(device, E1000_RCTL, 0);
    e1000_write(device, E1000_TCTL, E1000_TCTL_PSP);
    (void)e1000_read(device, E1000_STATUS); /* flushes the posted writes */
    if (running)
        os_sleep_ns(10 * MILLISECOND); /* frames in flight end */
}

enum status e1000_hw_reset(struct e1000 *device) {
    quiesce(device);
    if (device->model->quirks & E1000_QUIRK_PCIE)
        stop_bus_requests(device);

    e1000_write(device, E1000_CTRL, e1000_read(device, E1000_CTRL) | E1000_CTRL_RST);
    os_sleep_ns(MILLISECOND);
    if (!wait_for(device, E1000_CTRL, E1000_CTRL_RST, 0, 200 * MILLISECOND)) {
        log_error("e1000", "%s: the controller does not come out of reset", device->pci->address);
        return STATUS_IO;
    }
    /* SDM 13.4.1: a reset reads the EEPROM anew; only the 82574 says when that has ended. */
    if (device->model->quirks & E1000_QUIRK_PCIE)
        (void)wait_for(device, E1000_EECD, E1000_EECD_AUTO_READ_DONE, E1000_EECD_AUTO_READ_DONE,
                       100 * MILLISECOND);
    else
        os_sleep_ns(20 * MILLISECOND);
    e1000_write(device, E1000_IMC, E1000_ALL_ONES);
    (void)e1000_read(device, E1000_ICR);
    return STATUS_OK;
}

enum status e1000_hw_address(struct e1000 *device) {
    uint32_t low = e1000_read(device, E1000_RAL0), high = e1000_read(device, E1000_RAH0);
    uint8_t address[6];
    for (unsigned i = 0; i < 4; i++)
        address[i] = (uint8_t)(low >> 8 * i);
    address[4] = (uint8_t)high;
    address[5] = (uint8_t)(high >> 8);
    bool multicast = address[0] & 1, zero = low == 0 && (high & 0xffff) == 0;
    if (!(high & E1000_RAH_VALID) || multicast || zero)
        return STATUS_NOT_FOUND;
    memcpy(device->netdev.address, address, sizeof address);
    return STATUS_OK;
}

static void configure_filters(struct e1000 *device) {
    const uint8_t *address = device->netdev.address;
    uint32_t low = address[0] | (uint32_t)address[1] << 8 | (uint32_t)address[2] << 16 |
                   (uint32_t)address[3] << 24;
    e1000_write(device, E1000_RAL0, low);
    e1000_write(device, E1000_RAH0, E1000_RAH_VALID | address[4] | (uint32_t)address[5] << 8);
    for (uint32_t i = 0; i < E1000_MTA_ENTRIES; i++)
        e1000_write(device, E1000_MTA + 4 * i, 0);
}

void e1000_hw_configure(struct e1000 *device) {
    /* SDM 14.3: SLU with nothing forced lets the MAC follow what the PHY negotiated. */
    uint32_t control = e1000_read(device, E1000_CTRL);
    control &= ~(E1000_CTRL_LRST | E1000_CTRL_ILOS | E1000_CTRL_FRCSPD | E1000_CTRL_FRCDPX |
                 E1000_CTRL_RFCE | E1000_CTRL_TFCE | E1000_CTRL_VME | E1000_CTRL_PHY_RST |
                 E1000_CTRL_MASTER_DISABLE);
    e1000_write(device, E1000_CTRL, control | E1000_CTRL_SLU);
    e1000_write(device, E1000_FCAL, 0);
    e1000_write(device, E1000_FCAH, 0);
    e1000_write(device, E1000_FCT, 0);
    e1000_write(device, E1000_FCTTV, 0);
    configure_filters(device);
    if (device->model->quirks & E1000_QUIRK_PCIE) {
        e1000_write(device, E1000_CTRL_EXT,
                    e1000_read(device, E1000_CTRL_EXT) | E1000_CTRL_EXT_DRIVER_LOADED);
        e1000_write(device, E1000_RFCTL, 0);
        e1000_write(device, E1000_MRQC, 0);
    }
    e1000_write(device, E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL);
    e1000_write(device, E1000_RDTR, 0);
    e1000_write(device, E1000_RADV, 0);
    e1000_write(device, E1000_TIPG, E1000_TIPG_COPPER);
    e1000_write(device, E1000_ITR, INTERRUPT_INTERVAL);
}

uint32_t e1000_hw_link(const struct e1000 *device) {
    static const uint16_t megabits[] = {10, 100, 1000, 1000};
    uint32_t status = e1000_read(device, E1000_STATUS);
    if (!(status & E1000_STATUS_LU) || status == E1000_ALL_ONES)
        return 0;
    return megabits[status >> E1000_STATUS_SPEED_SHIFT & 3];
}

static uint64_t collect(struct e1000 *device, const uint16_t *registers, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += e1000_read(device, registers[i]);
    return sum;
}

void e1000_hw_collect(struct e1000 *device) {
    static const uint16_t receive_errors[] = {E1000_CRCERRS, E1000_ALGNERRC, E1000_RXERRC,
                                              E1000_RLEC,    E1000_RUC,      E1000_RFC,
                                              E1000_ROC,     E1000_RJC};
    static const uint16_t transmit_errors[] = {E1000_ECOL, E1000_LATECOL};
    static const uint16_t missed[] = {E1000_MPC};

    if (e1000_read(device, E1000_STATUS) == E1000_ALL_ONES)
        return;
    struct e1000_counters *counters = &device->counters;
    counters->rx_errors += collect(device, receive_errors, ARRAY_LENGTH(receive_errors));
    counters->rx_dropped += collect(device, missed, ARRAY_LENGTH(missed));
    counters->tx_errors += collect(device, transmit_errors, ARRAY_LENGTH(transmit_errors));
}
