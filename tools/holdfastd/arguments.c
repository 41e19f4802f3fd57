/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/holdfastd/arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: holdfastd --nbd ADDRESS [--nbd ADDRESS]... [--read-only] [--cache SIZE] DEVICE\n"
    "Serves the volumes of the LFSX pool on DEVICE, a disk or an image file, over NBD.\n"
    "\n"
    "      --nbd ADDRESS  listen here: HOST:PORT, [IPV6]:PORT or unix:PATH (repeatable);\n"
    "                     port 0 takes a free one. NBD's usual port is 10809\n"
    "  -r, --read-only    change nothing on DEVICE and refuse every write\n"
    "      --cache SIZE   memory for the cache; otherwise a part of what the machine has\n"
    "  -h, --help         show this help\n"
    "  -V, --version      show the version\n"
    "\n"
    "SIZE is a number of bytes with an optional K, M, G, T, P or E (powers of 1024).\n"
    "Once it serves it prints each volume, each address and then \"ready\". SIGTERM or SIGINT "
    "makes\n"
    "everything durable and ends it; a second one ends it at once. SIGHUP lets the pool grow on a\n"
    "DEVICE that has become larger.\n"
    "Exit status: 0 ended cleanly, 1 could not serve or not make everything durable, 2 usage.\n"
    "\n"
    "Example: holdfastd --nbd 127.0.0.1:10809 pool.img\n";

static const char version[] = "holdfastd (Holdfast) 0.1\n";

_Noreturn static void refuse(void) {
    fputs("Try: holdfastd --help\n", stderr);
    exit(EXIT_USAGE);
}

_Noreturn static void show(const char *text) {
    fputs(text, stdout);
    exit(fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED);
}

/* "4096", "512M": false if it is not that, is 0 or does not fit. */
static bool parse_size(const char *text, uint64_t *bytes) {
    static const char units[] = "KMGTPE";
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || errno != 0 || number == 0)
        return false;
    unsigned shift = 0;
    if (*end != '\0') {
        const char *unit = strchr(units, *end);
        if (unit == NULL || end[1] != '\0')
            return false;
        shift = ((unsigned)(unit - units) + 1) * 10;
    }
    return !__builtin_mul_overflow(number, 1ull << shift, bytes);
}

static void read_option(int letter, struct arguments *arguments) {
    switch (letter) {
    case 'n':
        arguments->addresses[arguments->address_count++] = optarg;
        break;
    case 'r':
        arguments->read_only = true;
        break;
    case 'c':
        if (parse_size(optarg, &arguments->cache_bytes))
            break;
        COMPLAIN("--cache %s: this is not a size; write it like 512M or 4G", optarg);
        refuse();
    case 'h':
        show(usage);
    case 'V':
        show(version);
    default:
        refuse();
    }
}

void arguments_parse(int argc, char **argv, struct arguments *arguments) {
    static const struct option options[] = {
        {"nbd", required_argument, NULL, 'n'},   {"read-only", no_argument, NULL, 'r'},
        {"cache", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},     {NULL, 0, NULL, 0}};
    memset(arguments, 0, sizeof *arguments);
    arguments->addresses = calloc((size_t)argc, sizeof arguments->addresses[0]);
    if (arguments->addresses == NULL) {
        COMPLAIN("out of memory");
        exit(EXIT_FAILED);
    }
    int letter;
    while ((letter = getopt_long(argc, argv, "rhV", options, NULL)) != -1)
        read_option(letter, arguments);
    if (optind != argc - 1) {
        COMPLAIN("%s", optind == argc ? "which device?" : "only one device at a time");
        refuse();
    }
    if (arguments->address_count == 0) {
        COMPLAIN("where to listen? Add --nbd, for example --nbd 127.0.0.1:10809");
        refuse();
    }
    arguments->device = argv[optind];
}
