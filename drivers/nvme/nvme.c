/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaching to controllers, and what people and the API may ask about them.
 *
 * Invariant: a controller enters the list once it works and never leaves it; the list only grows,
 * at boot, by the one thread that attaches drivers.
 */
#include "drivers/nvme/nvme.h"
#include "base/assert.h"
#include "base/format.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "drivers/nvme/nvme_controller.h"

/* PCI Code and ID Assignment 1.11, 1.2: mass storage, non-volatile memory, NVM Express I/O */
#define CLASS_STORAGE 0x01
#define SUBCLASS_NVM 0x08
#define INTERFACE_NVME 0x02

#define SHUTDOWN_POLL_NS 10000000ull
#define DATA_UNIT_BYTES 512000ull /* Base 5.14.1.2: thousands of 512 bytes */
#define KELVIN 273

static struct list_node controllers = {&controllers, &controllers};
static uint32_t controller_count;

static bool match(const struct pci_device *device) {
    return device->class_code == CLASS_STORAGE && device->subclass == SUBCLASS_NVM &&
           device->interface == INTERFACE_NVME;
}

/* The controller is disabled or gone, and its watchdog not running. */
static void release(struct nvme_controller *controller) {
    if (controller->interrupt_stays)
        return; /* its handler may still be called for others on the same pin */
    for (uint32_t i = 0; i < controller->queue_count; i++) {
        nvme_interrupts_release(&controller->queues[i]);
        nvme_queue_destroy(&controller->queues[i]);
    }
    os_free(controller->queues);
    if (controller->admin.slots != NULL) {
        nvme_interrupts_release(&controller->admin);
        nvme_queue_destroy(&controller->admin);
    }
    os_page_free(controller->page, OS_PAGE_SIZE);
    os_mutex_destroy(&controller->admin_lock);
    os_free(controller);
}

static struct nvme_controller *create(struct pci_device *device) {
    struct nvme_controller *controller = os_alloc_zeroed(sizeof *controller);
    if (controller == NULL)
        return NULL;
    controller->pci = device;
    controller->index = controller_count;
    controller->log_budget = NVME_LOG_LINES_PER_TICK;
    format_text(controller->name, sizeof controller->name, "nvme%u", controller->index);
    list_init(&controller->namespaces);
    os_mutex_init(&controller->admin_lock);
    event_init(&controller->attention);
    controller->page = os_page_alloc(OS_PAGE_SIZE);
    if (controller->page == NULL) {
        release(controller);
        return NULL;
    }
    return controller;
}

static enum status start(struct nvme_controller *controller) {
    pci_enable(controller->pci);
    volatile void *registers;
    enum status status = pci_bar_map(controller->pci, 0, &registers, &controller->registers_length);
    if (status != STATUS_OK)
        return status;
    controller->registers = registers;
    if (controller->registers_length < NVME_REG_DOORBELLS)
        return STATUS_UNSUPPORTED;
    status = nvme_interrupts_enable(controller);
    if (status == STATUS_OK)
        status = nvme_bringup(controller);
    return status;
}

/* Before release: the device must not write to memory that others will get. */
static void stop(struct nvme_controller *controller) {
    if (controller->admin.slots != NULL)
        nvme_offline(controller, "it could not be started");
}

static enum status attach(struct pci_device *device) {
    struct nvme_controller *controller = create(device);
    if (controller == NULL)
        return STATUS_NO_MEMORY;
    enum status status = start(controller);
    if (status == STATUS_OK)
        status =
            os_thread_start(&controller->watchdog, controller->name, nvme_watchdog, controller);
    if (status != STATUS_OK) {
        log_error(NVME_ROOM, "%s at %s: not usable: %s", controller->name, device->address,
                  status_text(status));
        stop(controller);
        release(controller);
        return status;
    }
    log_info(NVME_ROOM, "%s at %s: %s, serial %s, firmware %s, NVMe %u.%u, %u I/O queues of %u",
             controller->name, device->address, controller->model, controller->serial,
             controller->firmware, controller->version >> 16, controller->version >> 8 & 0xff,
             controller->queue_count, controller->queues[0].slot_count);
    list_push_back(&controllers, &controller->link);
    controller_count++;
    os_mutex_lock(&controller->admin_lock);
    status = nvme_namespaces_publish(controller);
    os_mutex_unlock(&controller->admin_lock);
    if (status != STATUS_OK)
        log_error(NVME_ROOM, "%s: not all of its namespaces could be read: %s", controller->name,
                  status_text(status));
    return STATUS_OK;
}

const struct pci_driver nvme_driver = {.name = "nvme", .match = match, .attach = attach};

static struct nvme_controller *find(uint32_t index) {
    LIST_FOR_EACH(node, &controllers) {
        struct nvme_controller *controller = LIST_CONTAINER(node, struct nvme_controller, link);
        if (controller->index == index)
            return controller;
    }
    return NULL;
}

static uint64_t saturate(struct nvme_counter counter) {
    return le64_get(counter.high) != 0 ? UINT64_MAX : le64_get(counter.low);
}

static uint64_t units_to_bytes(uint64_t units) {
    uint64_t bytes;
    return math_multiply(units, DATA_UNIT_BYTES, &bytes) ? bytes : UINT64_MAX;
}

enum status nvme_health_read(uint32_t index, struct nvme_health *health) {
    struct nvme_controller *controller = find(index);
    if (controller == NULL)
        return STATUS_NOT_FOUND;
    struct nvme_health_page page;
    enum status status = nvme_admin_log_page(controller, NVME_LOG_HEALTH, &page, sizeof page);
    if (status != STATUS_OK)
        return status;
    *health = (struct nvme_health){
        .critical_warning = page.critical_warning,
        .temperature_celsius = (int32_t)le16_get(page.temperature_kelvin) - KELVIN,
        .available_spare_percent = page.available_spare,
        .available_spare_threshold_percent = page.available_spare_threshold,
        .used_percent = page.percentage_used,
        .bytes_read = units_to_bytes(saturate(page.data_units_read)),
        .bytes_written = units_to_bytes(saturate(page.data_units_written)),
        .read_commands = saturate(page.read_commands),
        .write_commands = saturate(page.write_commands),
        .power_cycles = saturate(page.power_cycles),
        .power_on_hours = saturate(page.power_on_hours),
        .unsafe_shutdowns = saturate(page.unsafe_shutdowns),
        .media_errors = saturate(page.media_errors),
        .error_log_entries = saturate(page.error_log_entries)};
    return STATUS_OK;
}

enum status nvme_errors_read(uint32_t index, struct nvme_error *errors, uint32_t capacity,
                             uint32_t *count) {
    *count = 0;
    struct nvme_controller *controller = find(index);
    if (controller == NULL)
        return STATUS_NOT_FOUND;
    uint32_t entries = MATH_MIN(controller->error_log_entries, capacity);
    entries = MATH_MIN(entries, OS_PAGE_SIZE / sizeof(struct nvme_error_entry));
    if (entries == 0)
        return STATUS_OK;
    struct nvme_error_entry *log = os_alloc(entries * sizeof *log);
    if (log == NULL)
        return STATUS_NO_MEMORY;
    enum status status =
        nvme_admin_log_page(controller, NVME_LOG_ERRORS, log, entries * sizeof *log);
    for (uint32_t i = 0; status == STATUS_OK && i < entries && le64_get(log[i].count) != 0; i++) {
        uint16_t field = le16_get(log[i].status) >> 1;
        errors[(*count)++] = (struct nvme_error){.number = le64_get(log[i].count),
                                                 .queue = le16_get(log[i].sq_id),
                                                 .command = le16_get(log[i].command_id),
                                                 .status_type = NVME_STATUS_TYPE(field),
                                                 .status_code = NVME_STATUS_CODE(field),
                                                 .lba = le64_get(log[i].lba),
                                                 .nsid = le32_get(log[i].nsid)};
    }
    os_free(log);
    return status;
}

static uint64_t load(const uint64_t *counter) {
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

enum status nvme_statistics_read(uint32_t index, struct nvme_statistics *statistics) {
    struct nvme_controller *controller = find(index);
    if (controller == NULL)
        return STATUS_NOT_FOUND;
    *statistics =
        (struct nvme_statistics){.queues = controller->queue_count,
                                 .offline = __atomic_load_n(&controller->offline, __ATOMIC_RELAXED),
                                 .failed = load(&controller->failed),
                                 .timeouts = load(&controller->timeouts),
                                 .aborts = load(&controller->aborts),
                                 .resets = load(&controller->resets),
                                 .replayed = load(&controller->replayed),
                                 .stray = load(&controller->stray),
                                 .missed_interrupts = load(&controller->missed)};
    for (uint32_t i = 0; i < controller->queue_count; i++) {
        struct nvme_queue *queue = &controller->queues[i];
        uint64_t flags = spinlock_lock(&queue->lock);
        statistics->in_flight += queue->in_flight;
        statistics->commands += queue->commands;
        spinlock_unlock(&queue->lock, flags);
    }
    return STATUS_OK;
}

static void print_one(const struct nvme_controller *controller) {
    struct nvme_statistics now = {0};
    struct nvme_health health;
    struct nvme_error last;
    uint32_t count = 0;
    (void)nvme_statistics_read(controller->index, &now);
    log_info(NVME_ROOM,
             "%s: %s, %u queues, %u in flight, %llu commands, %llu failed, %llu timeouts, "
             "%llu aborts, %llu resets, %llu replayed, %llu stray, %llu missed interrupts",
             controller->name, now.offline ? "offline" : "online", now.queues, now.in_flight,
             (unsigned long long)now.commands, (unsigned long long)now.failed,
             (unsigned long long)now.timeouts, (unsigned long long)now.aborts,
             (unsigned long long)now.resets, (unsigned long long)now.replayed,
             (unsigned long long)now.stray, (unsigned long long)now.missed_interrupts);
    enum status status = nvme_health_read(controller->index, &health);
    if (status != STATUS_OK) {
        log_warning(NVME_ROOM, "%s: its health cannot be read: %s", controller->name,
                    status_text(status));
        return;
    }
    log_info(NVME_ROOM,
             "%s: warnings 0x%02x, %d C, %u %% used, %u %% spare, %llu media errors, "
             "%llu unsafe shutdowns, %llu hours",
             controller->name, health.critical_warning, health.temperature_celsius,
             health.used_percent, health.available_spare_percent,
             (unsigned long long)health.media_errors, (unsigned long long)health.unsafe_shutdowns,
             (unsigned long long)health.power_on_hours);
    if (nvme_errors_read(controller->index, &last, 1, &count) == STATUS_OK && count == 1)
        log_info(NVME_ROOM, "%s: last logged error: number %llu, type %u, code 0x%02x, block %llu",
                 controller->name, (unsigned long long)last.number, last.status_type,
                 last.status_code, (unsigned long long)last.lba);
}

void nvme_print(void) {
    LIST_FOR_EACH(node, &controllers)
    print_one(LIST_CONTAINER(node, struct nvme_controller, link));
}

static bool shut_down(const struct nvme_controller *controller) {
    uint32_t csts = nvme_read32(controller, NVME_REG_CSTS);
    return csts == NVME_REG_GONE || (csts & NVME_CSTS_SHUTDOWN_MASK) == NVME_CSTS_SHUTDOWN_DONE;
}

void nvme_shutdown(void) {
    LIST_FOR_EACH(node, &controllers) {
        struct nvme_controller *controller = LIST_CONTAINER(node, struct nvme_controller, link);
        if (__atomic_exchange_n(&controller->stopping, true, __ATOMIC_ACQ_REL))
            continue;
        event_signal(&controller->attention);
        os_thread_join(controller->watchdog);
        if (__atomic_load_n(&controller->offline, __ATOMIC_RELAXED))
            continue;
        for (uint32_t i = 0; i < controller->queue_count; i++)
            nvme_queue_refuse(&controller->queues[i]);
        nvme_queue_refuse(&controller->admin);
        uint32_t cc = nvme_read32(controller, NVME_REG_CC) & ~NVME_CC_SHUTDOWN_MASK;
        nvme_write32(controller, NVME_REG_CC, cc | NVME_CC_SHUTDOWN_NORMAL);
        uint64_t end = os_now_ns() + NVME_SHUTDOWN_TIMEOUT_NS;
        while (!shut_down(controller) && os_now_ns() < end)
            os_sleep_ns(SHUTDOWN_POLL_NS);
        if (!shut_down(controller))
            log_warning(NVME_ROOM, "%s: did not confirm the shutdown; its data was flushed",
                        controller->name);
    }
}
