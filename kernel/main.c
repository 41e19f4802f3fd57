/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts the appliance together: every room is started here, in this order, and nowhere else. The
 * boot thread then waits for the power button and takes everything down in the opposite order.
 */
#include "base/format.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "drivers/e1000/e1000.h"
#include "drivers/nvme/nvme.h"
#include "kernel/acpi/acpi.h"
#include "kernel/block/block.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/command_line.h"
#include "kernel/console/console.h"
#include "kernel/cpu/cpu.h"
#include "kernel/cpu/panic.h"
#include "kernel/device.h"
#include "kernel/irq/irq.h"
#include "kernel/mm/memory.h"
#include "kernel/os/os_memory.h"
#include "kernel/os/os_random.h"
#include "kernel/pci/pci.h"
#include "kernel/sched/event.h"
#include "kernel/sched/sched.h"
#include "kernel/selftest/selftest.h"
#include "kernel/selftest/selftest_block.h"
#include "kernel/time/clock.h"
#include "kernel/time/timer.h"
#include "net/net.h"
#include "services/nbd/nbd.h"
#include "storage/lfsx/lfsx.h"

#define ADDRESS_WAIT_NS 5000000000ull

static const struct pci_driver *const drivers[] = {
    &nvme_driver,
    &e1000_driver,
};

struct appliance {
    struct lfsx_pool *pool; /* NULL: none was found */
    struct nbd_server *nbd; /* NULL: not serving */
    struct event power_button;
};

/* What the machine cannot be without. */
static void require(enum status status, const char *what) {
    if (status != STATUS_OK)
        panic("%s cannot be used: %s", what, status_text(status));
}

static void report(enum status status, const char *what) {
    if (status != STATUS_OK)
        log_warning("main", "%s: %s; the machine runs without", what, status_text(status));
}

/* One processor does it all unless the command line says cpus=all. */
static void start_processors(void) {
    const char *cpus = command_line_get("cpus");
    if (cpus != NULL && strcmp(cpus, "all") == 0)
        report(sched_start_cpus(), "further processors");
}

static void start_machine(void) {
    memory_initialize();
    console_screen_initialize();
    report(acpi_initialize(0), "ACPI tables");
    require(clock_initialize(), "the clock");
    console_set_clock(clock_now_ns);
    require(sched_initialize(), "the scheduler");
    os_memory_initialize();
    os_random_initialize();
    require(irq_initialize(), "the interrupt controllers");
    require(timer_initialize_cpu(), "the timer");
    cpu_interrupts_enable();
    report(acpi_start(), "ACPI events");
    start_processors();
}

static void start_devices(void) {
    report(pci_scan(), "PCI");
    pci_attach_drivers(drivers, sizeof drivers / sizeof drivers[0]);
    block_start();
}

/* Whether the command line's pool= (a label; not given: any) means this pool. */
static bool is_wanted(const struct lfsx_label *label) {
    const char *wanted = command_line_get("pool");
    return wanted == NULL || strcmp(wanted, label->label) == 0;
}

static void open_pool(struct appliance *appliance, struct blockdev *device) {
    struct lfsx_label label;
    enum status status = lfsx_probe(device, &label);
    if (status == STATUS_NOT_LFSX)
        return;
    if (status == STATUS_OK && (appliance->pool != NULL || !is_wanted(&label))) {
        log_info("main", "%s holds the pool \"%s\", which is left alone", device->name,
                 label.label);
        return;
    }
    if (status == STATUS_OK)
        status = lfsx_pool_open(device, NULL, &appliance->pool);
    if (status != STATUS_OK) {
        log_error("main", "the pool on %s cannot be opened: %s; run fsck.lfsx on it", device->name,
                  status_text(status));
        return;
    }
    struct lfsx_pool_info info;
    char size[FORMAT_BYTES_SIZE];
    char available[FORMAT_BYTES_SIZE];
    lfsx_pool_info(appliance->pool, &info);
    log_info("main", "pool \"%s\" on %s: %s, %s available, checkpoint %llu", info.label,
             device->name, format_bytes(size, info.size_bytes),
             format_bytes(available, info.available_bytes), (unsigned long long)info.checkpoint);
}

static void open_pools(struct appliance *appliance) {
    struct blockdev *device;
    for (uint32_t i = 0; (device = block_device(i)) != NULL; i++)
        if (!block_has_partitions(device))
            open_pool(appliance, device);
    if (appliance->pool == NULL)
        log_error("main", "no pool was found; make one with mkfs.lfsx and boot again");
}

static void start_network(void) {
    const char *ip = command_line_get("ip");
    struct net_interface_config config;
    if (net_parse_config(ip == NULL ? "dhcp" : ip, &config) != STATUS_OK) {
        log_error("main", "ip=%s is not \"dhcp\" or ADDRESS/PREFIX[,GATEWAY]; using DHCP", ip);
        (void)net_parse_config("dhcp", &config);
    }
    config.host_name = "holdfast";
    require(net_start(), "the network stack");
    struct netdev *device;
    uint32_t count = 0;
    for (; (device = device_net(count)) != NULL; count++)
        report(net_interface_add(device, &config), device->name);
    if (count == 0)
        log_error("main", "no network device was found");
}

static void start_nbd(struct appliance *appliance) {
    if (appliance->pool == NULL)
        return;
    struct listener *listener;
    enum status status = net_tcp_listen(NBD_PORT, &listener);
    if (status == STATUS_OK)
        status = nbd_server_start(appliance->pool, listener, NULL, &appliance->nbd);
    if (status != STATUS_OK)
        log_error("main", "NBD cannot be served: %s", status_text(status));
}

static bool print_volume(void *context, const struct lfsx_volume_info *info) {
    char size[FORMAT_BYTES_SIZE];
    if (info->damage != STATUS_OK)
        log_error("main", "volume %s is damaged and not served; fsck.lfsx repairs it", info->name);
    else
        log_info("main", "volume %s, %s: nbd://%s/%s", info->name, format_bytes(size, info->size),
                 (const char *)context, info->name);
    return true;
}

static void announce(struct appliance *appliance) {
    char address[48];
    if (net_wait_address(address, sizeof address, ADDRESS_WAIT_NS) != STATUS_OK) {
        log_warning("main", "no network address yet; serving as soon as there is one");
        return;
    }
    if (appliance->nbd != NULL)
        report(lfsx_volume_list(appliance->pool, print_volume, address), "the list of volumes");
    log_info("main", "Holdfast is up");
}

static void power_button_pressed(void *context) {
    struct appliance *appliance = context;
    event_signal(&appliance->power_button);
}

static void stop(struct appliance *appliance) {
    log_info("main", "shutting down");
    if (appliance->nbd != NULL)
        nbd_server_stop(appliance->nbd);
    if (appliance->pool != NULL) {
        enum status status = lfsx_pool_close(appliance->pool);
        if (status == STATUS_OK)
            log_info("main", "the pool is closed and durable");
        else
            log_error("main", "the pool could not be closed cleanly: %s", status_text(status));
    }
    nvme_shutdown();
    log_info("main", "power off");
    acpi_power_off();
    log_error("main", "the machine did not switch itself off; it is safe to do so");
}

void kernel_main(void) {
    static struct appliance appliance;
    start_machine();
    event_init(&appliance.power_button);
    acpi_on_power_button(power_button_pressed, &appliance);
    start_devices();
    selftest_block_run();
    selftest_run();
    open_pools(&appliance);
    start_network();
    start_nbd(&appliance);
    announce(&appliance);
    (void)event_wait(&appliance.power_button, OS_FOREVER);
    stop(&appliance);
    for (;;)
        cpu_wait_for_interrupt();
}
