/* SPDX-License-Identifier: Apache-2.0 */
/* The self-test of block devices: see block_selftest.c. */
#ifndef KERNEL_BLOCK_BLOCK_SELFTEST_H
#define KERNEL_BLOCK_BLOCK_SELFTEST_H

/* With `selftest=block` on the command line: carries out the steps that it names, on the devices of
 * block_start(), destroying what they write to, says whether all did what they should, and leaves
 * the machine. Else returns. Thread context. */
void block_selftest_run(void);

#endif
