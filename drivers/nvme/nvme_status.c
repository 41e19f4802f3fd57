/* SPDX-License-Identifier: Apache-2.0 */
/* What a completion's status field means (Base 4.6.1), to the caller and to people. */
#include "base/log.h"
#include "drivers/nvme/nvme_controller.h"

static enum status map_generic(uint32_t code) {
    switch (code) {
    case NVME_SC_SUCCESS:
        return STATUS_OK;
    case NVME_SC_INVALID_OPCODE:
        return STATUS_UNSUPPORTED;
    case NVME_SC_INVALID_FIELD:
        return STATUS_INVALID;
    case NVME_SC_ABORTED:
    case NVME_SC_ABORTED_SQ_DELETION:
        return STATUS_TIMEOUT;
    case NVME_SC_INVALID_NAMESPACE:
        return STATUS_GONE;
    case NVME_SC_WRITE_PROTECTED:
        return STATUS_READ_ONLY;
    case NVME_SC_LBA_OUT_OF_RANGE:
        return STATUS_OUT_OF_RANGE;
    case NVME_SC_CAPACITY_EXCEEDED:
        return STATUS_NO_SPACE;
    default:
        return STATUS_IO;
    }
}

enum status nvme_status_map(uint16_t status) {
    uint32_t code = NVME_STATUS_CODE(status);
    if (NVME_STATUS_TYPE(status) == NVME_SCT_GENERIC)
        return map_generic(code);
    if (NVME_STATUS_TYPE(status) != NVME_SCT_SPECIFIC)
        return STATUS_IO;
    if (code == NVME_SC_READ_ONLY_RANGE)
        return STATUS_READ_ONLY;
    return code == NVME_SC_COMMAND_SIZE ? STATUS_INVALID : STATUS_IO;
}

static const char *opcode_name(uint8_t opcode) {
    switch (opcode) {
    case NVME_IO_FLUSH:
        return "flush";
    case NVME_IO_WRITE:
        return "write";
    case NVME_IO_READ:
        return "read";
    default:
        return "deallocate";
    }
}

void nvme_status_log(struct nvme_queue *queue, const struct nvme_command *command,
                     uint16_t status) {
    struct nvme_controller *controller = queue->controller;
    uint32_t left = __atomic_load_n(&controller->log_budget, __ATOMIC_RELAXED);
    if (left == 0)
        return;
    __atomic_store_n(&controller->log_budget, left - 1, __ATOMIC_RELAXED);
    uint64_t lba = le32_get(command->dword10) | (uint64_t)le32_get(command->dword11) << 32;
    bool ranged = command->opcode == NVME_IO_READ || command->opcode == NVME_IO_WRITE;
    log_error(NVME_ROOM,
              "%sn%u: %s failed at block %llu (%u blocks): status type %u, code 0x%02x%s: %s",
              controller->name, le32_get(command->nsid), opcode_name(command->opcode),
              ranged ? (unsigned long long)lba : 0ull,
              ranged ? (le32_get(command->dword12) & 0xffff) + 1 : 0, NVME_STATUS_TYPE(status),
              NVME_STATUS_CODE(status), status & NVME_STATUS_DO_NOT_RETRY ? ", final" : "",
              status_text(nvme_status_map(status)));
}
