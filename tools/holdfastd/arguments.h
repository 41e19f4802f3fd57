/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of holdfastd. */
#ifndef TOOLS_HOLDFASTD_ARGUMENTS_H
#define TOOLS_HOLDFASTD_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#define COMPLAIN(...) (fprintf(stderr, "holdfastd: " __VA_ARGS__), fputc('\n', stderr))

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1, /* the pool could not be served, or not be made durable at the end */
    EXIT_USAGE = 2,
};

struct arguments {
    const char *device;
    const char **addresses; /* of NBD listeners, as host_listen() takes them */
    unsigned address_count;
    bool read_only;
    uint64_t cache_bytes; /* 0: as the storage thinks best */
};

/* Reads the command line. Ends the program for --help and --version, and with EXIT_USAGE and a
 * message for what it does not understand. */
void arguments_parse(int argc, char **argv, struct arguments *arguments);

#endif
