/* SPDX-License-Identifier: Apache-2.0 */
/* What is going on, as text for people. */
#include "base/format.h"
#include "base/log.h"
#include "storage/mvcc/mvcc_internal.h"

static const char *const isolation_names[] = {[MVCC_READ_COMMITTED] = "read committed",
                                              [MVCC_SNAPSHOT] = "snapshot",
                                              [MVCC_SERIALIZABLE] = "serializable"};
static const char *const mode_names[] = {[MVCC_LOCK_INTENTION_SHARED] = "intention shared",
                                         [MVCC_LOCK_INTENTION_EXCLUSIVE] = "intention exclusive",
                                         [MVCC_LOCK_SHARED] = "shared",
                                         [MVCC_LOCK_SHARED_INTENTION_EXCLUSIVE] =
                                             "shared and intention exclusive",
                                         [MVCC_LOCK_EXCLUSIVE] = "exclusive"};

struct printer {
    mvcc_line *line;
    void *context;
};

static void print(const struct printer *printer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void print(const struct printer *printer, const char *format, ...) {
    char line[LOG_LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    format_text_v(line, sizeof line, format, arguments);
    va_end(arguments);
    printer->line(printer->context, line);
}

static void log_line(void *context, const char *line) {
    (void)context;
    log_info("mvcc", "%s", line);
}

static struct printer printer_make(mvcc_line *line, void *context) {
    return (struct printer){.line = line != NULL ? line : log_line, .context = context};
}

static void print_request(const struct printer *printer, const struct mvcc_request *request) {
    char first[MVCC_KEY_TEXT_SIZE];
    char last[MVCC_KEY_TEXT_SIZE];
    print(printer, "  lock %s from %s to %s: %s", mode_names[request->mode],
          mvcc_key_text(&request->first, first), mvcc_key_text(&request->last, last),
          request->granted ? "held" : "waiting");
}

static void print_change(const struct printer *printer, const struct mvcc_version *version) {
    char key[MVCC_KEY_TEXT_SIZE];
    print(printer, "  change %llu of %s: %s, %zu bytes%s", (unsigned long long)version->sequence,
          mvcc_key_text(&version->record->key, key), version->deleted ? "deleted" : "written",
          version->length, version->record->pending != version ? ", shadowed" : "");
}

static void print_transaction(const struct printer *printer,
                              const struct mvcc_transaction *transaction) {
    print(printer, "transaction %llu: %s, %s, %u restarts, %llu records changed, %llu locks",
          (unsigned long long)transaction->id, isolation_names[transaction->isolation],
          transaction->doomed            ? "ended by a deadlock"
          : transaction->waiting != NULL ? "waiting"
                                         : "running",
          transaction->restarts, (unsigned long long)transaction->record_count,
          (unsigned long long)transaction->request_count);
    if (!list_is_empty(&transaction->view_link))
        print(printer, "  view of commit %llu", (unsigned long long)transaction->view);
    LIST_FOR_EACH(link, &transaction->requests) {
        print_request(printer, LIST_CONTAINER(link, struct mvcc_request, link));
    }
    LIST_FOR_EACH(link, &transaction->changes) {
        print_change(printer, LIST_CONTAINER(link, struct mvcc_version, link));
    }
    LIST_FOR_EACH(link, &transaction->savepoints) {
        const struct mvcc_savepoint *savepoint = LIST_CONTAINER(link, struct mvcc_savepoint, link);
        print(printer, "  savepoint %llu", (unsigned long long)savepoint->sequence);
    }
}

static void print_record(const struct printer *printer, const struct mvcc_record *record) {
    char key[MVCC_KEY_TEXT_SIZE];
    print(printer, "record %s", mvcc_key_text(&record->key, key));
    if (record->writer != NULL)
        print(printer, "  being changed by transaction %llu",
              (unsigned long long)record->writer->id);
    LIST_FOR_EACH(link, &record->versions) {
        const struct mvcc_version *version = LIST_CONTAINER(link, struct mvcc_version, link);
        print(printer, "  version of commit %llu: %s, %zu bytes",
              (unsigned long long)version->stamp, version->deleted ? "deleted" : "present",
              version->length);
    }
}

static void print_records(const struct printer *printer, const struct mvcc *mvcc) {
    struct mvcc_key at = {0};
    const struct mvcc_record *record = mvcc_record_at_least(mvcc, &at);
    while (record != NULL) {
        print_record(printer, record);
        at = record->key;
        record = mvcc_key_advance(&at) ? mvcc_record_at_least(mvcc, &at) : NULL;
    }
}

void mvcc_print(struct mvcc *mvcc, mvcc_line *line, void *context) {
    struct printer printer = printer_make(line, context);
    os_mutex_lock(&mvcc->lock);
    const struct mvcc_info *info = &mvcc->info;
    print(&printer,
          "commit %llu; %llu transactions (%llu waiting), %llu locks, %llu records, %llu versions; "
          "so far %llu commits, %llu aborts, %llu restarts, %llu deadlocks, %llu conflicts",
          (unsigned long long)mvcc->stamp, (unsigned long long)info->transactions,
          (unsigned long long)info->waiting, (unsigned long long)info->locks,
          (unsigned long long)info->records, (unsigned long long)info->versions,
          (unsigned long long)info->commits, (unsigned long long)info->aborts,
          (unsigned long long)info->restarts, (unsigned long long)info->deadlocks,
          (unsigned long long)info->conflicts);
    LIST_FOR_EACH(link, &mvcc->transactions) {
        print_transaction(&printer, LIST_CONTAINER(link, struct mvcc_transaction, link));
    }
    print_records(&printer, mvcc);
    os_mutex_unlock(&mvcc->lock);
}

void mvcc_transaction_print(struct mvcc_transaction *transaction, mvcc_line *line, void *context) {
    struct printer printer = printer_make(line, context);
    os_mutex_lock(&transaction->mvcc->lock);
    print_transaction(&printer, transaction);
    os_mutex_unlock(&transaction->mvcc->lock);
}
