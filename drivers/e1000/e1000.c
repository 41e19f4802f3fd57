/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel gigabit Ethernet: attach, start and stop, interrupts, and the service thread.
 *
 * The interrupt handler only notes the causes, masks them and wakes the service thread. The thread
 * works in rounds (link, receive, transmit) until one finds nothing to do, then unmasks. A cause
 * that arises after the thread read the register stays pending there and interrupts at once on
 * unmasking, so no wake-up is lost; should hardware lose one nevertheless, the next housekeeping
 * finds the work.
 */
#include "drivers/e1000/e1000.h"
#include "base/format.h"
#include "base/log.h"
#include "base/mem.h"
#include "drivers/e1000/e1000_device.h"
#include "kernel/device.h"

#define REGISTERS_BAR 0u
#define REGISTERS_LENGTH 0x5c00u /* all that e1000_regs.h names lie below */

#define INTERRUPTS                                                                                 \
    (E1000_INTERRUPT_LSC | E1000_INTERRUPT_RXDMT0 | E1000_INTERRUPT_RXO | E1000_INTERRUPT_RXT0)

#define SERVICE_PATIENCE_NS 100000000ull
#define HOUSEKEEPING_NS 1000000000ull
#define STALLED_HOUSEKEEPINGS 3u

#define PCI_COMMAND 0x04u
#define PCI_COMMAND_MASTER (1u << 2)

/* PCI Express capability: link control (PCI Express Base Specification 7.5.3.7). */
#define PCI_CAPABILITY_EXPRESS 0x10u
#define PCI_EXPRESS_LINK_CONTROL 0x10u
#define PCI_EXPRESS_ASPM_MASK 3u

/* ---- interrupts ---- */

static bool interrupt(void *context) {
    struct e1000 *device = context;
    struct e1000_interrupt *state = &device->interrupt;
    bool ours = false;
    uint64_t flags = spinlock_lock(&state->lock);
    /* While masked, the pin's other users interrupt; the causes are for the thread to read. */
    if (!state->masked) {
        uint32_t causes = e1000_read(device, E1000_ICR);
        ours = (causes & (INTERRUPTS | E1000_INTERRUPT_TXDW)) != 0;
        if (ours) {
            e1000_write(device, E1000_IMC, E1000_ALL_ONES);
            state->masked = true;
            __atomic_fetch_or(&state->causes, causes, __ATOMIC_RELAXED);
            __atomic_fetch_add(&state->count, 1, __ATOMIC_RELAXED);
        }
    }
    spinlock_unlock(&state->lock, flags);
    if (ours)
        event_signal(&device->event);
    return ours;
}

static void mask_interrupts(struct e1000 *device) {
    uint64_t flags = spinlock_lock(&device->interrupt.lock);
    e1000_write(device, E1000_IMC, E1000_ALL_ONES);
    device->interrupt.masked = true;
    spinlock_unlock(&device->interrupt.lock, flags);
}

static void unmask_interrupts(struct e1000 *device) {
    uint32_t interrupts = INTERRUPTS;
    if (e1000_tx_starved(device))
        interrupts |= E1000_INTERRUPT_TXDW;
    uint64_t flags = spinlock_lock(&device->interrupt.lock);
    device->interrupt.masked = false;
    e1000_write(device, E1000_IMS, interrupts);
    spinlock_unlock(&device->interrupt.lock, flags);
}

/* What happened since the last call. The thread, with interrupts masked. */
static uint32_t take_causes(struct e1000 *device) {
    uint32_t causes = __atomic_exchange_n(&device->interrupt.causes, 0, __ATOMIC_RELAXED);
    return causes | e1000_read(device, E1000_ICR);
}

/* ---- link and recovery; the service thread ---- */

static void set_link(struct e1000 *device, uint32_t megabits) {
    bool up = megabits != 0;
    device->megabits = megabits;
    e1000_tx_set_state(device, up ? E1000_TX_RUNNING : E1000_TX_LINK_DOWN);
    device->client.link_changed(device->client.context, up, megabits);
}

/* Brings the hardware up: the receive ring is filled, what the transmit ring held is dropped. */
static enum status start_hardware(struct e1000 *device) {
    pci_enable(device->pci);
    enum status status = e1000_hw_reset(device);
    if (status != STATUS_OK)
        return status;
    e1000_tx_cancel(device);
    e1000_hw_configure(device);
    e1000_rx_start(device);
    e1000_tx_start(device);
    return STATUS_OK;
}

static void give_up(struct e1000 *device) {
    log_error("e1000", "%s: the controller no longer answers; the interface is out of service",
              device->netdev.name);
    device->gone = true;
    if (device->megabits != 0)
        set_link(device, 0);
    e1000_tx_set_state(device, E1000_TX_GONE);
    /* Should it still be alive, it must not touch memory that now returns to its owners. */
    uint16_t command = pci_config_read16(device->pci, PCI_COMMAND);
    pci_config_write16(device->pci, PCI_COMMAND, (uint16_t)(command & ~PCI_COMMAND_MASTER));
    e1000_tx_cancel(device);
}

/* Frees a transmit ring that hardware does not empty. */
static void reset(struct e1000 *device) {
    e1000_tx_set_state(device, E1000_TX_LINK_DOWN);
    while (e1000_rx_poll(device) != 0)
        continue;
    if (start_hardware(device) != STATUS_OK) {
        give_up(device);
        return;
    }
    device->tx_stalled = 0;
    if (device->megabits != 0)
        e1000_tx_set_state(device, E1000_TX_RUNNING);
}

static void check_link(struct e1000 *device) {
    if (e1000_read(device, E1000_STATUS) == E1000_ALL_ONES) {
        give_up(device);
        return;
    }
    uint32_t megabits = e1000_hw_link(device);
    if (megabits == device->megabits)
        return;
    os_mutex_lock(&device->counters.lock);
    device->counters.link_changes++;
    os_mutex_unlock(&device->counters.lock);
    set_link(device, megabits);

    /* Without a link hardware holds on to frames for as long as that lasts. */
    uint64_t frames;
    if (megabits == 0 && e1000_tx_pending(device, &frames))
        reset(device);
}

/* Once a second: counters that would stick at their maximum, a link change whose interrupt was
 * lost, a transmitter that stands still. */
static void keep_house(struct e1000 *device) {
    os_mutex_lock(&device->counters.lock);
    e1000_hw_collect(device);
    os_mutex_unlock(&device->counters.lock);
    check_link(device);

    uint64_t frames;
    bool pending = e1000_tx_pending(device, &frames);
    bool stalled = pending && device->megabits != 0 && frames == device->tx_frames_seen;
    device->tx_stalled = stalled ? device->tx_stalled + 1 : 0;
    device->tx_frames_seen = frames;
    if (device->tx_stalled >= STALLED_HOUSEKEEPINGS && !device->gone) {
        log_warning("e1000", "%s: nothing was sent for %u seconds, resetting the controller",
                    device->netdev.name, STALLED_HOUSEKEEPINGS);
        reset(device);
    }
}

/* ---- the service thread ---- */

static bool is_stopping(struct e1000 *device) {
    return __atomic_load_n(&device->stopping, __ATOMIC_ACQUIRE);
}

/* One round; true if there was work. */
static bool serve(struct e1000 *device) {
    if (take_causes(device) & E1000_INTERRUPT_LSC)
        check_link(device);
    if (device->gone)
        return false;
    unsigned received = e1000_rx_poll(device);
    bool sent = e1000_tx_poll(device);
    if (os_now_ns() >= device->next_housekeeping) {
        device->next_housekeeping = os_now_ns() + HOUSEKEEPING_NS;
        keep_house(device);
    }
    /* Under a flood those who work on the frames get their turn on this CPU. */
    if (received == E1000_RX_BATCH)
        os_thread_yield();
    return received != 0 || sent;
}

static void service(void *argument) {
    struct e1000 *device = argument;
    device->next_housekeeping = os_now_ns() + HOUSEKEEPING_NS;
    set_link(device, e1000_hw_link(device));
    while (!is_stopping(device)) {
        while (serve(device) && !is_stopping(device))
            continue;
        if (!device->gone)
            unmask_interrupts(device);
        event_wait(&device->event, SERVICE_PATIENCE_NS);
        mask_interrupts(device);
    }
}

/* ---- the netdev ---- */

/* Lifecycle held, no thread runs. */
static enum status bring_up(struct e1000 *device) {
    enum status status = e1000_rx_fill(device);
    if (status == STATUS_OK)
        status = start_hardware(device);
    if (status != STATUS_OK)
        return status;
    e1000_tx_set_state(device, E1000_TX_LINK_DOWN);
    device->stopping = false;
    device->gone = false;
    device->megabits = 0;
    device->tx_stalled = 0;
    return os_thread_start(&device->thread, device->netdev.name, service, device);
}

/* Lifecycle held, no thread runs. */
static void bring_down(struct e1000 *device) {
    mask_interrupts(device);
    e1000_tx_set_state(device, E1000_TX_STOPPED);
    os_mutex_lock(&device->counters.lock);
    e1000_hw_collect(device);
    os_mutex_unlock(&device->counters.lock);
    (void)e1000_hw_reset(device);
    e1000_tx_cancel(device);
    e1000_rx_drain(device);
}

static enum status start(struct netdev *netdev, const struct netdev_client *client) {
    struct e1000 *device = e1000_of(netdev);
    enum status status = STATUS_BUSY;
    os_mutex_lock(&device->lifecycle);
    if (device->thread == NULL) {
        device->client = *client;
        status = bring_up(device);
        if (status != STATUS_OK)
            bring_down(device);
    }
    os_mutex_unlock(&device->lifecycle);
    return status;
}

static void stop(struct netdev *netdev) {
    struct e1000 *device = e1000_of(netdev);
    os_mutex_lock(&device->lifecycle);
    if (device->thread != NULL) {
        __atomic_store_n(&device->stopping, true, __ATOMIC_RELEASE);
        event_signal(&device->event);
        os_thread_join(device->thread);
        device->thread = NULL;
        bring_down(device);
    }
    os_mutex_unlock(&device->lifecycle);
}

static void statistics(struct netdev *netdev, struct netdev_statistics *out) {
    struct e1000 *device = e1000_of(netdev);
    struct e1000_counters *counters = &device->counters;
    os_mutex_lock(&counters->lock);
    e1000_hw_collect(device);
    *out = (struct netdev_statistics){
        .rx_frames = counters->rx_frames,
        .rx_bytes = counters->rx_bytes,
        .rx_dropped = counters->rx_dropped,
        .rx_errors = counters->rx_errors,
        .tx_errors = counters->tx_errors,
        .link_changes = counters->link_changes,
        .interrupts = __atomic_load_n(&device->interrupt.count, __ATOMIC_RELAXED),
    };
    os_mutex_unlock(&counters->lock);
    uint64_t flags = spinlock_lock(&device->tx.lock);
    out->tx_frames = device->tx.frames;
    out->tx_bytes = device->tx.bytes;
    out->tx_dropped = device->tx.dropped;
    spinlock_unlock(&device->tx.lock, flags);
}

static const struct netdev_operations operations = {
    .start = start,
    .stop = stop,
    .send = e1000_tx_send,
    .statistics = statistics,
};

/* ---- attaching ---- */

static bool match(const struct pci_device *pci) {
    return e1000_model_find(pci) != NULL;
}

/* The 82574 may stop answering in the link power states L0s and L1 (its specification update). */
static void disable_aspm(struct pci_device *pci) {
    uint16_t capability = pci_capability_find(pci, PCI_CAPABILITY_EXPRESS);
    if (capability == 0)
        return;
    uint16_t control = pci_config_read16(pci, capability + PCI_EXPRESS_LINK_CONTROL);
    pci_config_write16(pci, capability + PCI_EXPRESS_LINK_CONTROL,
                       (uint16_t)(control & ~PCI_EXPRESS_ASPM_MASK));
}

static enum status prepare_hardware(struct e1000 *device) {
    size_t length;
    volatile void *registers;
    pci_enable(device->pci);
    if (device->model->quirks & E1000_QUIRK_NO_ASPM)
        disable_aspm(device->pci);
    enum status status = pci_bar_map(device->pci, REGISTERS_BAR, &registers, &length);
    if (status != STATUS_OK)
        return status;
    if (length < REGISTERS_LENGTH)
        return STATUS_UNSUPPORTED;
    device->registers = registers;
    status = e1000_hw_reset(device);
    if (status == STATUS_OK)
        status = e1000_hw_address(device);
    if (status == STATUS_NOT_FOUND)
        log_error("e1000", "%s: the EEPROM holds no valid station address", device->pci->address);
    return status;
}

static void init(struct e1000 *device, struct pci_device *pci) {
    static unsigned count;
    device->pci = pci;
    device->model = e1000_model_find(pci);
    device->interrupt.masked = true;
    os_mutex_init(&device->lifecycle);
    os_mutex_init(&device->counters.lock);
    event_init(&device->event);
    device->netdev.operations = &operations;
    device->netdev.mtu = 1500;
    device->netdev.features = NETDEV_TX_CHECKSUM | NETDEV_RX_CHECKSUM;
    format_text(device->netdev.name, sizeof device->netdev.name, "e1000-%u",
                __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED));
}

static enum status prepare_rings(struct e1000 *device) {
    enum status status = e1000_rx_create(device);
    return status == STATUS_OK ? e1000_tx_create(device) : status;
}

static void announce(const struct e1000 *device) {
    const uint8_t *mac = device->netdev.address;
    log_info("e1000", "%s: %s at %s, address %02x:%02x:%02x:%02x:%02x:%02x", device->netdev.name,
             device->model->name, device->pci->address, mac[0], mac[1], mac[2], mac[3], mac[4],
             mac[5]);
}

static enum status attach(struct pci_device *pci) {
    struct e1000 *device = os_alloc_zeroed(sizeof *device);
    if (device == NULL)
        return STATUS_NO_MEMORY;
    init(device, pci);
    bool interrupts = false;
    enum status status = prepare_rings(device);
    if (status == STATUS_OK)
        status = prepare_hardware(device);
    if (status == STATUS_OK) {
        status = pci_interrupt_register(pci, "e1000", interrupt, device);
        interrupts = status == STATUS_OK;
    }
    if (status == STATUS_OK)
        status = device_publish_net(&device->netdev);
    if (status == STATUS_OK) {
        announce(device);
        return STATUS_OK;
    }
    log_error("e1000", "%s: %s not attached: %s", pci->address, device->model->name,
              status_text(status));
    /* A registered handler stays, and so does what it looks at: a device that is masked. */
    e1000_tx_destroy(device);
    e1000_rx_destroy(device);
    if (!interrupts)
        os_free(device);
    return status;
}

const struct pci_driver e1000_driver = {
    .name = "e1000",
    .match = match,
    .attach = attach,
};
