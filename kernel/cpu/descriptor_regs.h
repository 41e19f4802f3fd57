/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor tables of the processor (Intel SDM volume 3, chapters 3, 6 and 7). */
#ifndef KERNEL_CPU_DESCRIPTOR_REGS_H
#define KERNEL_CPU_DESCRIPTOR_REGS_H

#include <stddef.h>
#include <stdint.h>

#define DESCRIPTOR_CODE_SELECTOR 0x08u
#define DESCRIPTOR_DATA_SELECTOR 0x10u
#define DESCRIPTOR_TASK_SELECTOR 0x18u

#define DESCRIPTOR_CODE_64 0x00af9b000000ffffull
#define DESCRIPTOR_DATA 0x00cf93000000ffffull
#define DESCRIPTOR_TASK_TYPE 0x89ull    /* present, available 64-bit TSS */
#define DESCRIPTOR_INTERRUPT_GATE 0x8eu /* present, interrupts off on entry */
#define DESCRIPTOR_NO_PORT_MAP 0xffffu  /* beyond the segment's limit */
#define DESCRIPTOR_STACK_COUNT 7u

struct __attribute__((packed)) descriptor_pointer {
    uint16_t limit;
    uint64_t base;
};
_Static_assert(sizeof(struct descriptor_pointer) == 10, "SDM 3, 3.5.1");

struct __attribute__((packed)) descriptor_task_state {
    uint32_t reserved0;
    uint64_t ring_stacks[3];
    uint64_t reserved1;
    uint64_t interrupt_stacks[DESCRIPTOR_STACK_COUNT]; /* IST1 is the first */
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t port_map;
};
_Static_assert(sizeof(struct descriptor_task_state) == 104, "SDM 3, 7.7");
_Static_assert(offsetof(struct descriptor_task_state, interrupt_stacks) == 36, "SDM 3, 7.7");

struct descriptor_gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t stack; /* index of the IST entry, 0: the current stack */
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};
_Static_assert(sizeof(struct descriptor_gate) == 16, "SDM 3, 6.14.1");

/* null, code, data, and a task descriptor of two entries */
struct descriptor_table {
    uint64_t entries[5];
};

#endif
