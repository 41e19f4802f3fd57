/* SPDX-License-Identifier: Apache-2.0 */
/* Invariant: `mutex` guards all but the registers and the rings, which the driver shares. */
#include "tests/home/fake_nvme.h"
#include "base/assert.h"
#include "base/os.h"
#include "tests/home/home.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REGISTERS 0x2000u
#define QUEUES 8u
#define HELD 1024u

struct ring {
    struct nvme_command *submission;
    struct nvme_completion *completion;
    uint32_t entries, completion_entries;
    uint32_t head, tail; /* of submission, of completion */
    uint8_t phase;
    uint16_t interrupt;
};

struct fake_nvme {
    struct fake_nvme_options options;
    uint8_t *registers;
    uint8_t *medium;
    pthread_t thread;
    pthread_mutex_t mutex;
    bool stop, removed, ready, obey_aborts, refuse_disable, lose_interrupts;
    uint32_t to_hold;
    uint16_t next_status;
    struct ring rings[QUEUES];
    struct {
        uint16_t queue, id;
        struct nvme_command command;
    } held[HELD];
    uint32_t held_count;
    bool raise[QUEUES];
    struct fake_nvme_counts counts;
};

static uint32_t load(struct fake_nvme *fake, uint32_t offset) {
    return __atomic_load_n((uint32_t *)(fake->registers + offset), __ATOMIC_SEQ_CST);
}

static void store(struct fake_nvme *fake, uint32_t offset, uint32_t value) {
    __atomic_store_n((uint32_t *)(fake->registers + offset), value, __ATOMIC_SEQ_CST);
}

static void *pointer(uint64_t physical) {
    return (void *)(uintptr_t)physical;
}

static void complete(struct fake_nvme *fake, uint32_t queue, uint16_t id, uint16_t status,
                     uint32_t result) {
    struct ring *ring = &fake->rings[queue];
    if (ring->completion == NULL || !(home_function.command & 4))
        return; /* not bus master: the write goes nowhere */
    struct nvme_completion *entry = &ring->completion[ring->tail];
    entry->result = le32_make(result);
    entry->sq_head = le16_make((uint16_t)ring->head);
    entry->sq_id = le16_make((uint16_t)queue);
    entry->id = le16_make(id);
    uint16_t field = (uint16_t)(status << 1 | ring->phase);
    __atomic_store_n((uint16_t *)(void *)&entry->status, field, __ATOMIC_RELEASE);
    if (++ring->tail == ring->completion_entries) {
        ring->tail = 0;
        ring->phase ^= 1;
    }
    fake->raise[ring->interrupt] = true;
}

static void identify(struct fake_nvme *fake, const struct nvme_command *command) {
    void *page = pointer(le64_get(command->prp1));
    memset(page, 0, 4096);
    uint32_t cns = le32_get(command->dword10);
    if (cns == NVME_CNS_CONTROLLER) {
        struct nvme_identify_controller *out = page;
        memcpy(out->serial, "FAKE\x1b[31m 0001       ", sizeof out->serial);
        memset(out->model, ' ', sizeof out->model);
        memcpy(out->model, "Fake controller", 15);
        memset(out->firmware, ' ', sizeof out->firmware);
        out->mdts = fake->options.mdts;
        out->namespace_count = le32_make(2);
        out->commands = le16_make(NVME_ONCS_DATASET_MANAGEMENT);
        out->write_cache = NVME_VWC_PRESENT;
    } else if (cns == NVME_CNS_ACTIVE_NAMESPACES) {
        le32 one = le32_make(1), two = le32_make(2);
        if (le32_get(command->nsid) == 0)
            memcpy(page, &one, 4);
        memcpy((char *)page + (le32_get(command->nsid) == 0 ? 4 : 0), &two, 4);
    } else {
        struct nvme_identify_namespace *out = page;
        out->size = le64_make(fake->options.blocks);
        out->formats[0].data_size_log2 = (uint8_t)fake->options.block_shift;
        if (le32_get(command->nsid) == 2) /* one that the driver must leave alone */
            out->formats[0].metadata_size = le16_make(8);
    }
}

static void create_queue(struct fake_nvme *fake, const struct nvme_command *command) {
    uint32_t dword10 = le32_get(command->dword10);
    uint32_t id = dword10 & 0xffff;
    if (id >= QUEUES) {
        fake->counts.violations++;
        return;
    }
    struct ring *ring = &fake->rings[id];
    if (command->opcode == NVME_ADMIN_CREATE_CQ) {
        ring->completion = pointer(le64_get(command->prp1));
        ring->completion_entries = (dword10 >> 16) + 1;
        ring->interrupt = (uint16_t)(le32_get(command->dword11) >> 16);
        ring->tail = 0;
        ring->phase = 1;
    } else {
        if (ring->completion == NULL)
            fake->counts.violations++;
        ring->submission = pointer(le64_get(command->prp1));
        ring->entries = (dword10 >> 16) + 1;
        ring->head = 0;
    }
}

/* Bit 0 of the answer: not aborted (Base 5.1). */
static uint32_t abort_command(struct fake_nvme *fake, uint32_t dword10) {
    fake->counts.aborts++;
    for (uint32_t i = 0; fake->obey_aborts && i < fake->held_count; i++) {
        if (fake->held[i].queue != (dword10 & 0xffff) || fake->held[i].id != dword10 >> 16)
            continue;
        complete(fake, fake->held[i].queue, fake->held[i].id, NVME_SC_ABORTED, 0);
        fake->held[i] = fake->held[--fake->held_count];
        return 0;
    }
    return 1;
}

static void run_admin(struct fake_nvme *fake, const struct nvme_command *command) {
    uint32_t result = 0;
    uint16_t status = 0;
    switch (command->opcode) {
    case NVME_ADMIN_IDENTIFY:
        identify(fake, command);
        break;
    case NVME_ADMIN_SET_FEATURES:
        result = (fake->options.queues - 1u) << 16 | (fake->options.queues - 1u);
        break;
    case NVME_ADMIN_CREATE_CQ:
    case NVME_ADMIN_CREATE_SQ:
        create_queue(fake, command);
        break;
    case NVME_ADMIN_ABORT:
        result = abort_command(fake, le32_get(command->dword10));
        break;
    case NVME_ADMIN_GET_LOG_PAGE: {
        struct nvme_health_page page = {.temperature_kelvin = le16_make(300),
                                        .data_units_read = {.low = le64_make(2)},
                                        .media_errors = {.high = le64_make(1)}};
        memcpy(pointer(le64_get(command->prp1)), &page, sizeof page);
        break;
    }
    default:
        status = NVME_SC_INVALID_OPCODE;
    }
    complete(fake, 0, le16_get(command->id), status, result);
}

/* Walks the pages of a transfer and copies; Base 4.3. */
static uint16_t transfer(struct fake_nvme *fake, const struct nvme_command *command, bool write) {
    uint64_t lba = le32_get(command->dword10) | (uint64_t)le32_get(command->dword11) << 32;
    uint64_t left = ((le32_get(command->dword12) & 0xffff) + 1ull) << fake->options.block_shift;
    if ((lba << fake->options.block_shift) + left > fake->options.blocks
                                                        << fake->options.block_shift)
        return NVME_SC_LBA_OUT_OF_RANGE;
    uint8_t *medium = fake->medium + (lba << fake->options.block_shift);
    uint64_t pages = (left + 4095) / 4096;
    const uint64_t *list = pointer(le64_get(command->prp2));
    if (pages > 2 && ((uintptr_t)list + (pages - 1) * 8 - 1) / 4096 != (uintptr_t)list / 4096)
        fake->counts.violations++;
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t at = i == 0                 ? le64_get(command->prp1)
                      : i == 1 && pages == 2 ? le64_get(command->prp2)
                                             : list[i - 1];
        if (at % 4096 != 0 || at == 0)
            fake->counts.violations++;
        size_t length = left < 4096 ? left : 4096;
        if (write)
            memcpy(medium, pointer(at), length);
        else
            memcpy(pointer(at), medium, length);
        medium += length;
        left -= length;
    }
    return 0;
}

static uint16_t run_io(struct fake_nvme *fake, const struct nvme_command *command) {
    if (fake->next_status != 0) {
        uint16_t status = fake->next_status;
        fake->next_status = 0;
        return status;
    }
    switch (command->opcode) {
    case NVME_IO_FLUSH:
        fake->counts.flushes++;
        return 0;
    case NVME_IO_DATASET_MANAGEMENT: {
        const struct nvme_dsm_range *range = pointer(le64_get(command->prp1));
        fake->counts.deallocations++;
        fake->counts.last_deallocated_lba = le64_get(range->lba);
        fake->counts.last_deallocated_blocks = le32_get(range->blocks);
        if (le32_get(command->dword11) != NVME_DSM_DEALLOCATE)
            fake->counts.violations++;
        return 0;
    }
    case NVME_IO_READ:
    case NVME_IO_WRITE:
        fake->counts.fua_writes += (le32_get(command->dword12) & NVME_IO_FUA) != 0;
        return transfer(fake, command, command->opcode == NVME_IO_WRITE);
    default:
        return NVME_SC_INVALID_OPCODE;
    }
}

static void take_io(struct fake_nvme *fake, uint32_t queue, const struct nvme_command *command) {
    if (fake->to_hold > 0 && fake->held_count < HELD) {
        fake->to_hold--;
        fake->held[fake->held_count].queue = (uint16_t)queue;
        fake->held[fake->held_count].command = *command;
        fake->held[fake->held_count++].id = le16_get(command->id);
        return;
    }
    complete(fake, queue, le16_get(command->id), run_io(fake, command), 0);
}

static void look_at_ring(struct fake_nvme *fake, uint32_t queue) {
    struct ring *ring = &fake->rings[queue];
    if (ring->submission == NULL)
        return;
    uint32_t tail = load(fake, NVME_REG_DOORBELLS + queue * 8);
    if (tail >= ring->entries) {
        fake->counts.violations++;
        return;
    }
    while (ring->head != tail) {
        struct nvme_command command = ring->submission[ring->head];
        ring->head = (ring->head + 1) % ring->entries;
        if (queue == 0)
            run_admin(fake, &command);
        else
            take_io(fake, queue, &command);
    }
}

static void enable(struct fake_nvme *fake) {
    uint32_t aqa = load(fake, NVME_REG_AQA);
    struct ring *admin = &fake->rings[0];
    uint64_t asq = load(fake, NVME_REG_ASQ) | (uint64_t)load(fake, NVME_REG_ASQ + 4) << 32;
    uint64_t acq = load(fake, NVME_REG_ACQ) | (uint64_t)load(fake, NVME_REG_ACQ + 4) << 32;
    *admin = (struct ring){.submission = pointer(asq),
                           .completion = pointer(acq),
                           .entries = (aqa & 0xfff) + 1,
                           .completion_entries = (aqa >> 16 & 0xfff) + 1,
                           .phase = 1};
    fake->counts.enables++;
    fake->ready = true;
    store(fake, NVME_REG_CSTS, NVME_CSTS_READY);
}

static void disable(struct fake_nvme *fake) {
    memset(fake->rings, 0, sizeof fake->rings);
    memset(fake->registers + NVME_REG_DOORBELLS, 0, REGISTERS - NVME_REG_DOORBELLS);
    fake->ready = false;
    store(fake, NVME_REG_CSTS, 0);
}

static void look(struct fake_nvme *fake) {
    if (fake->removed)
        return;
    uint32_t cc = load(fake, NVME_REG_CC);
    if (cc & NVME_CC_ENABLE && !fake->ready && !fake->options.never_ready)
        enable(fake);
    if (!(cc & NVME_CC_ENABLE) && fake->ready && !fake->refuse_disable)
        disable(fake);
    if ((cc & NVME_CC_SHUTDOWN_MASK) == NVME_CC_SHUTDOWN_NORMAL && fake->ready) {
        fake->counts.shut_down = true;
        store(fake, NVME_REG_CSTS, NVME_CSTS_READY | NVME_CSTS_SHUTDOWN_DONE);
    }
    for (uint32_t i = 0; fake->ready && cc & NVME_CC_ENABLE && i < QUEUES; i++)
        look_at_ring(fake, i);
}

static void *run(void *context) {
    struct fake_nvme *fake = context;
    for (;;) {
        bool raise[QUEUES];
        pthread_mutex_lock(&fake->mutex);
        if (fake->stop) {
            pthread_mutex_unlock(&fake->mutex);
            return NULL;
        }
        look(fake);
        memcpy(raise, fake->raise, sizeof raise);
        memset(fake->raise, 0, sizeof fake->raise);
        bool lose = fake->lose_interrupts;
        pthread_mutex_unlock(&fake->mutex);
        for (uint16_t i = 0; !lose && i < QUEUES; i++)
            if (raise[i])
                home_interrupt(i);
        usleep(50);
    }
}

struct fake_nvme *fake_nvme_start(const struct fake_nvme_options *options) {
    struct fake_nvme *fake = calloc(1, sizeof *fake);
    ASSERT(fake != NULL);
    fake->options = *options;
    fake->registers = aligned_alloc(4096, REGISTERS);
    fake->medium = calloc(options->blocks, 1ul << options->block_shift);
    ASSERT(fake->registers != NULL && fake->medium != NULL);
    memset(fake->registers, 0, REGISTERS);
    /* MQES 63, TO 1 s, CSS NVM */
    store(fake, NVME_REG_CAP, 63 | 2u << 24);
    store(fake, NVME_REG_CAP + 4, 1u << 5);
    store(fake, NVME_REG_VS, NVME_VERSION(1, 4));
    home_reset();
    home_function = (struct home_function){.registers = fake->registers,
                                           .registers_length = REGISTERS,
                                           .msix_vectors = options->msix_vectors};
    pthread_mutex_init(&fake->mutex, NULL);
    ASSERT(pthread_create(&fake->thread, NULL, run, fake) == 0);
    return fake;
}

void fake_nvme_stop(struct fake_nvme *fake) {
    pthread_mutex_lock(&fake->mutex);
    fake->stop = true;
    pthread_mutex_unlock(&fake->mutex);
    pthread_join(fake->thread, NULL);
    pthread_mutex_destroy(&fake->mutex);
    free(fake->medium);
    free(fake->registers);
    free(fake);
}

uint8_t *fake_nvme_medium(struct fake_nvme *fake) {
    return fake->medium;
}

/* Sets a field as its thread sees it. */
#define SET(fake, field, value)                                                                    \
    do {                                                                                           \
        pthread_mutex_lock(&(fake)->mutex);                                                        \
        (fake)->field = (value);                                                                   \
        pthread_mutex_unlock(&(fake)->mutex);                                                      \
    } while (0)

void fake_nvme_hold(struct fake_nvme *fake, uint32_t count) {
    SET(fake, to_hold, count);
}

uint32_t fake_nvme_held(struct fake_nvme *fake) {
    pthread_mutex_lock(&fake->mutex);
    uint32_t count = fake->held_count;
    pthread_mutex_unlock(&fake->mutex);
    return count;
}

void fake_nvme_obey_aborts(struct fake_nvme *fake, bool obey) {
    SET(fake, obey_aborts, obey);
}

void fake_nvme_answer_late(struct fake_nvme *fake) {
    pthread_mutex_lock(&fake->mutex);
    for (uint32_t i = 0; i < fake->held_count; i++)
        complete(fake, fake->held[i].queue, fake->held[i].id, 0, 0);
    fake->held_count = 0;
    pthread_mutex_unlock(&fake->mutex);
}

void fake_nvme_invent(struct fake_nvme *fake, uint16_t queue, uint16_t id) {
    pthread_mutex_lock(&fake->mutex);
    complete(fake, queue, id, 0, 0);
    pthread_mutex_unlock(&fake->mutex);
}

void fake_nvme_fail_next(struct fake_nvme *fake, uint16_t status) {
    SET(fake, next_status, status);
}

void fake_nvme_refuse_disable(struct fake_nvme *fake) {
    SET(fake, refuse_disable, true);
}

void fake_nvme_lose_interrupts(struct fake_nvme *fake) {
    SET(fake, lose_interrupts, true);
}

void fake_nvme_remove(struct fake_nvme *fake) {
    pthread_mutex_lock(&fake->mutex);
    fake->removed = true;
    for (uint32_t i = 0; i < REGISTERS; i += 4)
        store(fake, i, NVME_REG_GONE);
    pthread_mutex_unlock(&fake->mutex);
}

struct fake_nvme_counts fake_nvme_counts(struct fake_nvme *fake) {
    pthread_mutex_lock(&fake->mutex);
    struct fake_nvme_counts counts = fake->counts;
    pthread_mutex_unlock(&fake->mutex);
    return counts;
}
