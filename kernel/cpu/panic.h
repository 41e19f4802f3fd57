/* SPDX-License-Identifier: Apache-2.0 */
/* The end: a broken invariant or an exception that nobody can handle. */
#ifndef KERNEL_CPU_PANIC_H
#define KERNEL_CPU_PANIC_H

#include "kernel/cpu/trap.h"

#include <stdint.h>

/* Port and value by which a test machine with isa-debug-exit leaves QEMU, with `panic=exit` on the
 * command line; its exit code is value * 2 + 1. */
#define PANIC_EXIT_PORT 0xf4
#define PANIC_EXIT_VALUE 0x10

/* Stops this CPU and, if the handler below is set, all others; writes the message, the registers
 * and a backtrace to the consoles; then halts or leaves the machine. Any context. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same with the registers of an exception. */
_Noreturn void panic_trap(struct cpu_trap_frame *frame, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How the other CPUs are stopped (an NMI to all); set by kernel/irq once it can. */
void panic_set_stop_others(void (*stop)(void));

/* Returns unless another CPU is reporting a panic: then this one stops. For the NMI by which it
 * asks.
 */
void panic_stop_if_reported(void);

/* Writes up to 32 frames, symbolised, to the console: the given start's first. Any context. */
void panic_backtrace(uint64_t rip, uint64_t rbp);

/* Leaves a machine that has isa-debug-exit with this value; returns if there is none. */
void panic_debug_exit(uint32_t value);

#endif
