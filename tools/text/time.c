/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/text/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_NS 1000000000ull

static const struct unit {
    char letter;
    uint64_t seconds;
} units[] = {{'w', 7 * 86400}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

const char *time_text(char *out, uint64_t ns) {
    time_t seconds = (time_t)(ns / SECOND_NS);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(out, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return out;
}

bool time_parse(const char *text, uint64_t *ns) {
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%d %H:%M"};
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm parts = {0};
        const char *end = strptime(text, forms[i], &parts);
        if (end == NULL || (*end != '\0' && strcmp(end, "Z") != 0))
            continue;
        time_t seconds = timegm(&parts);
        if (seconds < 0)
            return false;
        *ns = (uint64_t)seconds * SECOND_NS;
        return true;
    }
    return false;
}

bool duration_parse(const char *text, uint64_t *ns) {
    if (*text < '0' || *text > '9')
        return false;
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    for (unsigned i = 0; errno == 0 && i < sizeof units / sizeof units[0]; i++)
        if (end[0] == units[i].letter && end[1] == '\0')
            return !__builtin_mul_overflow(number, units[i].seconds * SECOND_NS, ns);
    return false;
}

const char *duration_text(char *out, uint64_t ns) {
    uint64_t seconds = ns / SECOND_NS;
    unsigned i = 0;
    while (seconds % units[i].seconds != 0)
        i++;
    snprintf(out, TIME_TEXT_SIZE, "%" PRIu64 "%c", seconds / units[i].seconds, units[i].letter);
    return out;
}
