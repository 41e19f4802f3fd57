/* SPDX-License-Identifier: Apache-2.0 */
/* The processor: ports, model-specific registers, interrupt flag, per-CPU data. Any context. */
#ifndef KERNEL_CPU_CPU_H
#define KERNEL_CPU_CPU_H

#include <stdbool.h>
#include <stdint.h>

static inline void cpu_out8(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
static inline void cpu_out16(uint16_t port, uint16_t value) {
    __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}
static inline void cpu_out32(uint16_t port, uint32_t value) {
    __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}
static inline uint8_t cpu_in8(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline uint16_t cpu_in16(uint16_t port) {
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline uint32_t cpu_in32(uint16_t port) {
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint64_t cpu_read_msr(uint32_t index) {
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}
static inline void cpu_write_msr(uint32_t index, uint64_t value) {
    __asm__ volatile("wrmsr" ::"c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static inline void cpu_pause(void) {
    __asm__ volatile("pause");
}

#define CPU_FLAG_INTERRUPT (1u << 9)

/* Turns interrupts off and returns the flags for cpu_interrupts_restore(). Nests. */
static inline uint64_t cpu_interrupts_disable(void) {
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0; cli" : "=r"(flags)::"memory");
    return flags;
}
static inline void cpu_interrupts_restore(uint64_t flags) {
    if (flags & CPU_FLAG_INTERRUPT)
        __asm__ volatile("sti" ::: "memory");
}
static inline void cpu_interrupts_enable(void) {
    __asm__ volatile("sti" ::: "memory");
}
static inline bool cpu_interrupts_enabled(void) {
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags));
    return (flags & CPU_FLAG_INTERRUPT) != 0;
}
/* Sleeps until an interrupt; turns interrupts on in the same instant. */
static inline void cpu_wait_for_interrupt(void) {
    __asm__ volatile("sti; hlt" ::: "memory");
}

#endif
