/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

static const char *const texts[STATUS_COUNT] = {
#define X(name, text) [STATUS_##name] = text,
    STATUS_LIST(X)
#undef X
};

static const char *const names[STATUS_COUNT] = {
#define X(name, text) [STATUS_##name] = #name,
    STATUS_LIST(X)
#undef X
};

const char *status_text(enum status status) {
    return (unsigned)status < STATUS_COUNT ? texts[status] : "unknown status";
}

const char *status_name(enum status status) {
    return (unsigned)status < STATUS_COUNT ? names[status] : "UNKNOWN";
}
