/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an NVMe controller's registers, commands and pages look like, and nothing else.
 *
 * "Base" is the NVM Express Base Specification 1.4; section numbers are of that revision (later
 * ones moved the I/O commands to the NVM Command Set Specification without changing them).
 */
#ifndef DRIVERS_NVME_NVME_REGS_H
#define DRIVERS_NVME_NVME_REGS_H

#include "base/endian.h"

#include <stddef.h>
#include <stdint.h>

/* ---- Base 3.1: controller registers, byte offsets into BAR0 ---- */

#define NVME_REG_CAP 0x00u  /* 64 bits: capabilities */
#define NVME_REG_VS 0x08u   /* version */
#define NVME_REG_CC 0x14u   /* configuration */
#define NVME_REG_CSTS 0x1cu /* status */
#define NVME_REG_AQA 0x24u  /* admin queue sizes */
#define NVME_REG_ASQ 0x28u  /* 64 bits: admin submission queue */
#define NVME_REG_ACQ 0x30u  /* 64 bits: admin completion queue */
#define NVME_REG_DOORBELLS 0x1000u

/* A removed function answers every read with ones (PCI Express Base 2.3.2). */
#define NVME_REG_GONE 0xffffffffu

/* Base 3.1.1: CAP */
#define NVME_CAP_MQES(cap) ((uint32_t)((cap)&0xffff))        /* entries per queue - 1 */
#define NVME_CAP_TO(cap) ((uint32_t)((cap) >> 24 & 0xff))    /* units of 500 ms */
#define NVME_CAP_DSTRD(cap) ((uint32_t)((cap) >> 32 & 0xf))  /* stride is 4 << DSTRD */
#define NVME_CAP_CSS_NVM(cap) ((uint32_t)((cap) >> 37 & 1))  /* the NVM command set */
#define NVME_CAP_MPSMIN(cap) ((uint32_t)((cap) >> 48 & 0xf)) /* smallest page 4 KiB << it */
#define NVME_CAP_TIMEOUT_UNIT_NS 500000000ull

#define NVME_VERSION(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor) << 8)

/* Base 3.1.5: CC; 4 KiB pages, round robin arbitration and the NVM command set are zeros */
#define NVME_CC_ENABLE 0x1u
#define NVME_CC_SHUTDOWN_NORMAL (1u << 14)
#define NVME_CC_SHUTDOWN_MASK (3u << 14)
#define NVME_CC_IOSQES(log2) ((uint32_t)(log2) << 16)
#define NVME_CC_IOCQES(log2) ((uint32_t)(log2) << 20)

/* Base 3.1.6: CSTS */
#define NVME_CSTS_READY 0x1u
#define NVME_CSTS_FATAL 0x2u
#define NVME_CSTS_SHUTDOWN_MASK (3u << 2)
#define NVME_CSTS_SHUTDOWN_DONE (2u << 2)

/* ---- Base 4.2: submission queue entry ---- */

struct nvme_command {
    uint8_t opcode;
    uint8_t flags; /* no fused operation, PRPs: 0 */
    le16 id;
    le32 nsid;
    le64 reserved;
    le64 metadata;
    le64 prp1;
    le64 prp2;
    le32 dword10;
    le32 dword11;
    le32 dword12;
    le32 dword13;
    le32 dword14;
    le32 dword15;
};
_Static_assert(sizeof(struct nvme_command) == 64, "Base 4.2: 64 bytes");
_Static_assert(offsetof(struct nvme_command, prp1) == 24, "Base 4.2");
_Static_assert(offsetof(struct nvme_command, dword10) == 40, "Base 4.2");
#define NVME_COMMAND_LOG2 6

/* ---- Base 4.6: completion queue entry ---- */

struct nvme_completion {
    le32 result; /* dword 0: command specific */
    le32 reserved;
    le16 sq_head;
    le16 sq_id;
    le16 id;
    le16 status; /* bit 0 is the phase tag; the rest as below once shifted by one */
};
_Static_assert(sizeof(struct nvme_completion) == 16, "Base 4.6: 16 bytes");
#define NVME_COMPLETION_LOG2 4
#define NVME_COMPLETION_PHASE 0x1u

/* Base 4.6.1: status field (without the phase tag) */
#define NVME_STATUS_CODE(status) ((status)&0xffu)
#define NVME_STATUS_TYPE(status) ((status) >> 8 & 0x7u)
#define NVME_STATUS_MORE 0x2000u
#define NVME_STATUS_DO_NOT_RETRY 0x4000u

#define NVME_SCT_GENERIC 0u
#define NVME_SCT_SPECIFIC 1u
#define NVME_SCT_MEDIA 2u
#define NVME_SCT_PATH 3u

/* Base 4.6.1.2.1: generic status */
#define NVME_SC_SUCCESS 0x00u
#define NVME_SC_INVALID_OPCODE 0x01u
#define NVME_SC_INVALID_FIELD 0x02u
#define NVME_SC_ABORTED_POWER_LOSS 0x05u
#define NVME_SC_INTERNAL 0x06u
#define NVME_SC_ABORTED 0x07u
#define NVME_SC_ABORTED_SQ_DELETION 0x08u
#define NVME_SC_INVALID_NAMESPACE 0x0bu
#define NVME_SC_WRITE_PROTECTED 0x20u
#define NVME_SC_LBA_OUT_OF_RANGE 0x80u
#define NVME_SC_CAPACITY_EXCEEDED 0x81u
#define NVME_SC_NAMESPACE_NOT_READY 0x82u

/* Base 4.6.1.2.2: command specific status, NVM command set */
#define NVME_SC_READ_ONLY_RANGE 0x82u
/* NVM Command Set Specification 1.0, 3.2.1.4 */
#define NVME_SC_COMMAND_SIZE 0x83u

/* ---- Base 5: admin commands ---- */

enum nvme_admin_opcode {
    NVME_ADMIN_CREATE_SQ = 0x01,
    NVME_ADMIN_GET_LOG_PAGE = 0x02,
    NVME_ADMIN_CREATE_CQ = 0x05,
    NVME_ADMIN_IDENTIFY = 0x06,
    NVME_ADMIN_ABORT = 0x08,
    NVME_ADMIN_SET_FEATURES = 0x09,
};

/* Base 5.3, 5.4: Create I/O Completion Queue and Submission Queue */
#define NVME_QUEUE_CONTIGUOUS 0x1u
#define NVME_CQ_INTERRUPTS 0x2u

/* Base 5.15: Identify, CNS */
#define NVME_CNS_NAMESPACE 0x00u
#define NVME_CNS_CONTROLLER 0x01u
#define NVME_CNS_ACTIVE_NAMESPACES 0x02u /* since 1.1 */

/* Base 5.21.1.7: Number of Queues */
#define NVME_FEATURE_QUEUE_COUNT 0x07u

/* Base 5.14.1: log pages */
#define NVME_LOG_ERRORS 0x01u
#define NVME_LOG_HEALTH 0x02u
#define NVME_NSID_ALL 0xffffffffu

/* Base figure 247: the fields of the Identify Controller structure that are used here */
struct nvme_identify_controller {
    le16 pci_vendor;
    le16 pci_subsystem_vendor;
    char serial[20];
    char model[40];
    char firmware[8];
    uint8_t arbitration_burst;
    uint8_t ieee_oui[3];
    uint8_t multipath;
    uint8_t mdts; /* largest transfer is 4 KiB << it (CAP.MPSMIN is 0); 0: no limit */
    le16 controller_id;
    le32 version;
    uint8_t unused_84[256 - 84];
    le16 admin_commands; /* OACS */
    uint8_t abort_limit; /* ACL, zero's based */
    uint8_t event_limit; /* AERL, zero's based */
    uint8_t firmware_updates;
    uint8_t log_attributes;  /* LPA */
    uint8_t error_log_limit; /* ELPE, zero's based */
    uint8_t unused_263[512 - 263];
    uint8_t sq_entry_size;
    uint8_t cq_entry_size;
    le16 max_commands;
    le32 namespace_count; /* NN */
    le16 commands;        /* ONCS */
    le16 fused;
    uint8_t format_attributes;
    uint8_t write_cache; /* VWC */
    uint8_t unused_526[4096 - 526];
} __attribute__((packed));
_Static_assert(sizeof(struct nvme_identify_controller) == 4096, "Base figure 247");
_Static_assert(offsetof(struct nvme_identify_controller, mdts) == 77, "Base figure 247");
_Static_assert(offsetof(struct nvme_identify_controller, admin_commands) == 256, "Base figure 247");
_Static_assert(offsetof(struct nvme_identify_controller, error_log_limit) == 262,
               "Base figure 247");
_Static_assert(offsetof(struct nvme_identify_controller, namespace_count) == 516,
               "Base figure 247");
_Static_assert(offsetof(struct nvme_identify_controller, write_cache) == 525, "Base figure 247");
#define NVME_ONCS_DATASET_MANAGEMENT 0x4u
#define NVME_VWC_PRESENT 0x1u

struct nvme_lba_format {
    le16 metadata_size;
    uint8_t data_size_log2; /* LBADS */
    uint8_t performance;
};
_Static_assert(sizeof(struct nvme_lba_format) == 4, "Base figure 246");

#define NVME_LBA_FORMATS 64u /* 16 before revision 2.0; the space is the same */

struct nvme_identify_namespace {
    le64 size;     /* NSZE, logical blocks */
    le64 capacity; /* NCAP */
    le64 used;     /* NUSE */
    uint8_t features;
    uint8_t format_count; /* zero's based */
    uint8_t format;       /* FLBAS */
    uint8_t metadata_capabilities;
    uint8_t unused_28[99 - 28];
    uint8_t attributes; /* NSATTR */
    uint8_t unused_100[128 - 100];
    struct nvme_lba_format formats[NVME_LBA_FORMATS];
    uint8_t vendor[4096 - 384];
};
_Static_assert(sizeof(struct nvme_identify_namespace) == 4096, "Base figure 245");
_Static_assert(offsetof(struct nvme_identify_namespace, attributes) == 99, "Base figure 245");
_Static_assert(offsetof(struct nvme_identify_namespace, vendor) == 384, "Base figure 245");
/* FLBAS: bits 3:0 of the index, and since 2.0 its bits 5:4 in 6:5 */
#define NVME_FLBAS_INDEX(flbas) (((flbas)&0xfu) | ((flbas) >> 1 & 0x30u))
#define NVME_NSATTR_WRITE_PROTECTED 0x1u

#define NVME_NAMESPACE_LIST_ENTRIES 1024u /* Base 4.10: sorted, ended by zero */

/* A 128-bit counter */
struct nvme_counter {
    le64 low;
    le64 high;
};

/* Base figure 194: SMART / Health Information */
struct nvme_health_page {
    uint8_t critical_warning;
    le16 temperature_kelvin;
    uint8_t available_spare;
    uint8_t available_spare_threshold;
    uint8_t percentage_used;
    uint8_t unused_6[32 - 6];
    struct nvme_counter data_units_read, data_units_written, read_commands, write_commands,
        busy_minutes, power_cycles, power_on_hours, unsafe_shutdowns, media_errors,
        error_log_entries;
    uint8_t unused_192[512 - 192];
} __attribute__((packed));
_Static_assert(sizeof(struct nvme_health_page) == 512, "Base figure 194");
_Static_assert(offsetof(struct nvme_health_page, data_units_read) == 32, "Base figure 194");
_Static_assert(offsetof(struct nvme_health_page, error_log_entries) == 176, "Base figure 194");

/* Base figure 193: one entry of the Error Information log, the newest first */
struct nvme_error_entry {
    le64 count; /* 0: the entry is unused */
    le16 sq_id;
    le16 command_id;
    le16 status; /* with the phase tag in bit 0 */
    le16 parameter;
    le64 lba;
    le32 nsid;
    uint8_t vendor;
    uint8_t transport;
    uint8_t unused_30[64 - 30];
};
_Static_assert(sizeof(struct nvme_error_entry) == 64, "Base figure 193");

/* ---- Base 6: I/O commands ---- */

enum nvme_io_opcode {
    NVME_IO_FLUSH = 0x00,
    NVME_IO_WRITE = 0x01,
    NVME_IO_READ = 0x02,
    NVME_IO_DATASET_MANAGEMENT = 0x09,
};

#define NVME_IO_FUA (1u << 30) /* dword 12 of read and write (Base 6.9, 6.15) */
#define NVME_IO_MAX_BLOCKS 65536u

/* Base 6.7: Dataset Management */
struct nvme_dsm_range {
    le32 attributes;
    le32 blocks;
    le64 lba;
};
_Static_assert(sizeof(struct nvme_dsm_range) == 16, "Base 6.7");
#define NVME_DSM_DEALLOCATE 0x4u

#endif
