/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/tree/latch.h"
#include "base/log.h"

void latch_init(struct latch *latch, const char *name) {
    *latch = (struct latch){.name = name};
    os_mutex_init(&latch->lock);
}

void latch_destroy(struct latch *latch) {
    os_mutex_destroy(&latch->lock);
}

void latch_set(struct latch *latch, enum status cause, const char *what) {
    os_mutex_lock(&latch->lock);
    bool first = latch->cause == STATUS_OK;
    if (first)
        latch->cause = cause;
    os_mutex_unlock(&latch->lock);
    if (first)
        log_error("lfsx",
                  "%s: %s: %s. The pool is read-only until it is opened again; what was not "
                  "flushed is lost. Check the device, then restart.",
                  latch->name, what, status_text(cause));
}

enum status latch_cause(struct latch *latch) {
    os_mutex_lock(&latch->lock);
    enum status cause = latch->cause;
    os_mutex_unlock(&latch->lock);
    return cause;
}
