/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/text/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool size_parse(const char *text, uint64_t *bytes) {
    static const char units[] = "KMGTPE";
    if (*text < '0' || *text > '9')
        return false;
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    unsigned shift = 0;
    if (*end != '\0') {
        const char *unit = strchr(units, toupper((unsigned char)*end));
        if (unit == NULL)
            return false;
        shift = (unsigned)(unit - units + 1) * 10;
        end++;
    }
    if (*end != '\0' && strcasecmp(end, "b") != 0 && strcasecmp(end, "ib") != 0)
        return false;
    return !__builtin_mul_overflow(number, 1ull << shift, bytes);
}
