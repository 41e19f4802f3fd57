/* SPDX-License-Identifier: Apache-2.0 */
/* The self-test of block devices: see selftest_block.c. */
#ifndef KERNEL_SELFTEST_SELFTEST_BLOCK_H
#define KERNEL_SELFTEST_SELFTEST_BLOCK_H

/* With `selftest=block` on the command line: carries out the steps that it names, on the devices of
 * block_start(), destroying what they write to, says whether all did what they should, and leaves
 * the machine. Else returns. Thread context. */
void selftest_block_run(void);

#endif
