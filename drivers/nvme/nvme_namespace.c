/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces as block devices: what they are, and how requests become commands (Base 6). */
#include "base/format.h"
#include "base/log.h"
#include "base/math.h"
#include "base/mem.h"
#include "drivers/nvme/nvme_controller.h"
#include "kernel/cpu/percpu.h"
#include "kernel/device.h"
#include "kernel/mm/memory.h"

#define LBA_SHIFT_MIN 9u
#define LBA_SHIFT_MAX 20u /* what the largest transfer holds */

/*
 * Base 4.3: PRP 1 is the first page; PRP 2 the second, or the list of all others. Spans are
 * page-aligned and whole pages but for the last one's end, so that every page is one entry.
 */
static void fill_prps(struct nvme_slot *slot, const struct block_request *request) {
    uint64_t *list = slot->list;
    uint64_t second = 0;
    uint32_t pages = 0;
    for (uint32_t i = 0; i < request->span_count; i++) {
        uint64_t at = memory_physical(request->spans[i].base);
        uint64_t end = at + request->spans[i].length;
        for (; at < end; at += OS_PAGE_SIZE, pages++) {
            if (pages == 0)
                slot->command.prp1 = le64_make(at);
            else
                list[pages - 1] = at;
            if (pages == 1)
                second = at;
        }
    }
    slot->command.prp2 = le64_make(pages > 2 ? slot->list_physical : second);
}

static void fill_transfer(const struct nvme_namespace *namespace, struct nvme_slot *slot,
                          const struct block_request *request) {
    bool write = request->operation == BLOCK_WRITE;
    uint64_t lba = request->offset >> namespace->block_shift;
    uint32_t blocks = (uint32_t)(request->length >> namespace->block_shift);
    uint32_t fua = write && request->flags & BLOCK_FUA ? NVME_IO_FUA : 0;
    slot->command = (struct nvme_command){.opcode = write ? NVME_IO_WRITE : NVME_IO_READ,
                                          .nsid = le32_make(namespace->nsid),
                                          .dword10 = le32_make((uint32_t)lba),
                                          .dword11 = le32_make((uint32_t)(lba >> 32)),
                                          .dword12 = le32_make((blocks - 1) | fua)};
    fill_prps(slot, request);
}

static void fill_discard(const struct nvme_namespace *namespace, struct nvme_slot *slot,
                         const struct block_request *request) {
    struct nvme_dsm_range *range = slot->list; /* it needs no PRP list */
    *range = (struct nvme_dsm_range){
        .blocks = le32_make((uint32_t)(request->length >> namespace->block_shift)),
        .lba = le64_make(request->offset >> namespace->block_shift)};
    slot->command = (struct nvme_command){.opcode = NVME_IO_DATASET_MANAGEMENT,
                                          .nsid = le32_make(namespace->nsid),
                                          .prp1 = le64_make(slot->list_physical),
                                          .dword10 = le32_make(0), /* one range, zero's based */
                                          .dword11 = le32_make(NVME_DSM_DEALLOCATE)};
}

static void fill(const struct nvme_namespace *namespace, struct nvme_slot *slot,
                 const struct block_request *request) {
    switch (request->operation) {
    case BLOCK_FLUSH:
        slot->command =
            (struct nvme_command){.opcode = NVME_IO_FLUSH, .nsid = le32_make(namespace->nsid)};
        break;
    case BLOCK_DISCARD:
        fill_discard(namespace, slot, request);
        break;
    default:
        fill_transfer(namespace, slot, request);
        break;
    }
}

static void submit(struct blockdev *device, struct block_request *request) {
    struct nvme_namespace *namespace = LIST_CONTAINER(device, struct nvme_namespace, device);
    struct nvme_controller *controller = namespace->controller;
    enum status status = STATUS_OK;
    /* Which CPU this is need not stay true: any queue does, the near one is faster. */
    struct nvme_queue *queue = &controller->queues[cpu_index() % controller->queue_count];
    struct nvme_slot *slot;
    bool needless = request->operation == BLOCK_FLUSH && !controller->volatile_cache;
    if (!needless || __atomic_load_n(&controller->offline, __ATOMIC_RELAXED)) {
        status = nvme_queue_take(queue, true, &slot);
        if (status == STATUS_OK) {
            fill(namespace, slot, request);
            slot->request = request;
            status = nvme_queue_send(queue, slot);
            if (status == STATUS_OK)
                return;
        }
    }
    request->status = status;
    request->done(request);
}

static const struct blockdev_operations operations = {.submit = submit, .close = NULL};

static void set_limits(struct nvme_namespace *namespace, bool read_only) {
    struct nvme_controller *controller = namespace->controller;
    uint32_t shift = namespace->block_shift;
    uint64_t transfer = MATH_MIN((uint64_t)NVME_IO_MAX_BLOCKS << shift, controller->max_transfer);
    uint32_t slots = controller->queues[0].slot_count;
    struct blockdev *device = &namespace->device;
    device->limits =
        (struct blockdev_limits){.block_size = 1u << shift,
                                 .max_transfer = (uint32_t)transfer,
                                 .queue_depth = slots * controller->queue_count,
                                 .max_discard = controller->has_discard ? NVME_MAX_DISCARD : 0,
                                 .volatile_cache = controller->volatile_cache,
                                 .read_only = read_only};
    format_text(device->name, sizeof device->name, "%sn%u", controller->name, namespace->nsid);
    format_text(device->model, sizeof device->model, "%s", controller->model);
    format_text(device->serial, sizeof device->serial, "%s", controller->serial);
    device->operations = &operations;
}

static enum status publish(struct nvme_controller *controller, uint32_t nsid, uint32_t shift,
                           uint64_t size, bool read_only) {
    struct nvme_namespace *namespace = os_alloc_zeroed(sizeof *namespace);
    if (namespace == NULL)
        return STATUS_NO_MEMORY;
    namespace->controller = controller;
    namespace->nsid = nsid;
    namespace->block_shift = shift;
    namespace->device.size = size;
    set_limits(namespace, read_only);
    enum status status = device_publish_block(&namespace->device);
    if (status != STATUS_OK) {
        os_free(namespace);
        return status;
    }
    list_push_back(&controller->namespaces, &namespace->link);
    char text[FORMAT_BYTES_SIZE];
    log_info(NVME_ROOM, "%s: %s, %u-byte blocks%s%s%s", namespace->device.name,
             format_bytes(text, size), 1u << shift,
             controller->volatile_cache ? ", volatile write cache" : "",
             controller->has_discard ? ", discard" : "", read_only ? ", read-only" : "");
    return STATUS_OK;
}

/* Reads one namespace's structure; skips, with a word, what this driver cannot use. */
static enum status consider(struct nvme_controller *controller, uint32_t nsid) {
    enum status status = nvme_admin_identify(controller, NVME_CNS_NAMESPACE, nsid);
    if (status != STATUS_OK)
        return status;
    const struct nvme_identify_namespace *page = controller->page;
    uint64_t blocks = le64_get(page->size);
    if (blocks == 0)
        return STATUS_OK; /* not active */
    const struct nvme_lba_format *format = &page->formats[NVME_FLBAS_INDEX(page->format)];
    uint32_t shift = format->data_size_log2;
    bool read_only = page->attributes & NVME_NSATTR_WRITE_PROTECTED;
    uint64_t size;
    if (shift < LBA_SHIFT_MIN || shift > LBA_SHIFT_MAX ||
        (1u << shift) > controller->max_transfer || !math_multiply(blocks, 1ull << shift, &size)) {
        log_warning(NVME_ROOM, "%sn%u: skipped: %llu blocks of 2^%u bytes are not supported",
                    controller->name, nsid, (unsigned long long)blocks, shift);
        return STATUS_OK;
    }
    if (le16_get(format->metadata_size) != 0) {
        log_warning(NVME_ROOM,
                    "%sn%u: skipped: its format has metadata in each block; format it without",
                    controller->name, nsid);
        return STATUS_OK;
    }
    return publish(controller, nsid, shift, size, read_only);
}

/* Base 5.15.2.3: the list is asked for in pieces, each beginning above the last one's end. */
static enum status publish_listed(struct nvme_controller *controller, uint32_t *nsids) {
    uint32_t last = 0;
    for (;;) {
        enum status status = nvme_admin_identify(controller, NVME_CNS_ACTIVE_NAMESPACES, last);
        if (status != STATUS_OK)
            return status;
        memcpy(nsids, controller->page, OS_PAGE_SIZE);
        for (uint32_t i = 0; i < NVME_NAMESPACE_LIST_ENTRIES; i++) {
            if (nsids[i] == 0)
                return STATUS_OK;
            if (nsids[i] <= last) {
                log_error(NVME_ROOM, "%s: its list of namespaces is not sorted", controller->name);
                return STATUS_IO;
            }
            last = nsids[i];
            status = consider(controller, last);
            if (status != STATUS_OK)
                return status;
        }
    }
}

enum status nvme_namespaces_publish(struct nvme_controller *controller) {
    if (controller->version >= NVME_VERSION(1, 1)) {
        uint32_t *nsids = os_alloc(OS_PAGE_SIZE);
        if (nsids == NULL)
            return STATUS_NO_MEMORY;
        enum status status = publish_listed(controller, nsids);
        os_free(nsids);
        return status;
    }
    for (uint32_t nsid = 1; nsid != 0 && nsid <= controller->namespace_count; nsid++) {
        enum status status = consider(controller, nsid);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}
