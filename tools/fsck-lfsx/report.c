/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fsck-lfsx/report.h"

#include "base/format.h"
#include "tools/text/json.h"

#include <inttypes.h>
#include <stdio.h>

#define BAR_WIDTH 40u

static void clear_bar(struct report *report) {
    if (report->bar_is_shown)
        fputs("\r\033[K", stderr);
    report->bar_is_shown = false;
}

void report_start(struct report *report) {
    if (!report->json)
        return;
    fputs("{\"device\": ", stdout);
    json_print_string(report->path);
    fputs(", \"findings\": [", stdout);
}

static void print_json_finding(const struct report *report, const struct lfsx_finding *finding) {
    printf("%s\n  {\"number\": %" PRIu32 ", \"name\": ", report->findings > 0 ? "," : "",
           finding->number);
    json_print_string(finding->name);
    if (finding->block == UINT64_MAX)
        fputs(", \"block\": null", stdout);
    else
        printf(", \"block\": %" PRIu64, finding->block);
    printf(", \"fatal\": %s, \"text\": ", finding->fatal ? "true" : "false");
    json_print_string(finding->text);
    putchar('}');
}

static void print_finding(const struct lfsx_finding *finding) {
    printf("[%" PRIu32 " %s] ", finding->number, finding->name);
    if (finding->block != UINT64_MAX)
        printf("block %" PRIu64 ": ", finding->block);
    printf("%s%s\n", finding->text,
           finding->fatal ? " (what lies behind it could not be checked)" : "");
}

void report_finding(void *context, const struct lfsx_finding *finding) {
    struct report *report = context;
    clear_bar(report);
    if (report->json)
        print_json_finding(report, finding);
    else
        print_finding(finding);
    fflush(stdout);
    report->findings++;
}

void report_action(void *context, const char *text) {
    struct report *report = context;
    clear_bar(report);
    if (!report->json)
        printf("repaired: %s\n", text);
}

static void begin_losses(struct report *report) {
    if (report->json && !report->losses_begun)
        fputs("],\n \"losses\": [", stdout);
    report->losses_begun = true;
}

static void print_json_loss(const struct lfsx_loss *loss) {
    static const char *const kinds[] = {[LFSX_LOSS_BYTES] = "bytes",
                                        [LFSX_LOSS_FILE] = "file",
                                        [LFSX_LOSS_ATTRIBUTES] = "attributes",
                                        [LFSX_LOSS_ITEMS] = "items"};
    fputs("\n  {\"volume\": ", stdout);
    json_print_string(loss->volume);
    printf(", \"kind\": \"%s\"", kinds[loss->kind]);
    if (loss->inode != 0) {
        fputs(", \"path\": ", stdout);
        if (loss->path == NULL)
            fputs("null", stdout);
        else
            json_print_string(loss->path);
        printf(", \"inode\": %" PRIu64 ", \"last_inode\": %" PRIu64, loss->inode, loss->last_inode);
    }
    if (loss->kind == LFSX_LOSS_BYTES)
        printf(", \"offset\": %" PRIu64 ", \"length\": %" PRIu64, loss->offset, loss->length);
    printf(", \"doubtful\": %s}", loss->doubtful ? "true" : "false");
}

/* "share home, file a/b (inode 12)" */
static void print_place(const struct lfsx_loss *loss) {
    printf("lost: %s %s", loss->inode == 0 ? "volume" : "share", loss->volume);
    if (loss->inode == 0)
        return;
    if (loss->inode != loss->last_inode)
        printf(", inodes %" PRIu64 "..%" PRIu64, loss->inode, loss->last_inode);
    else if (loss->path == NULL)
        printf(", inode %" PRIu64, loss->inode);
    else
        printf(", %s (inode %" PRIu64 ")", loss->path[0] == '\0' ? "/" : loss->path, loss->inode);
}

static void print_loss(const struct lfsx_loss *loss) {
    print_place(loss);
    switch (loss->kind) {
    case LFSX_LOSS_FILE:
        printf(": all of it%s\n", loss->doubtful ? ", if it was not removed before" : "");
        break;
    case LFSX_LOSS_ATTRIBUTES:
        puts(": extended attributes");
        break;
    case LFSX_LOSS_ITEMS:
        puts(": some may be gone; names in them, attributes and sizes may be missing or older");
        break;
    default:
        if (loss->length == UINT64_MAX)
            fputs(", all bytes", stdout);
        else
            printf(", bytes %" PRIu64 "..%" PRIu64, loss->offset, loss->offset + loss->length - 1);
        puts(loss->doubtful ? ": they may be an older version"
                            : ": they read as zeros now, as they also do where nothing was");
    }
}

void report_loss(void *context, const struct lfsx_loss *loss) {
    struct report *report = context;
    clear_bar(report);
    begin_losses(report);
    if (report->json) {
        fputs(report->losses > 0 ? "," : "", stdout);
        print_json_loss(loss);
    } else {
        print_loss(loss);
    }
    report->losses++;
}

void report_progress(void *context, uint64_t done_blocks, uint64_t total_blocks) {
    struct report *report = context;
    if (!report->show_progress || total_blocks == 0)
        return;
    if (done_blocks > total_blocks)
        done_blocks = total_blocks;
    unsigned permill = (unsigned)((double)done_blocks / (double)total_blocks * 1000);
    if (report->bar_is_shown && permill == report->shown_permill)
        return;
    unsigned full = permill * BAR_WIDTH / 1000;
    fprintf(stderr, "\r%s [", report->path);
    for (unsigned i = 0; i < BAR_WIDTH; i++)
        fputc(i < full ? '#' : '.', stderr);
    fprintf(stderr, "] %3u.%u %%", permill / 10, permill % 10);
    fflush(stderr);
    report->bar_is_shown = true;
    report->shown_permill = permill;
}

static void end_json(const struct report *report, enum status status,
                     const struct lfsx_repair_summary *repaired, bool repair_wanted,
                     int exit_status) {
    const struct lfsx_check_summary *summary = &repaired->check;
    printf("],\n \"checked\": %s, \"status\": \"%s\", \"repaired\": ",
           status == STATUS_OK ? "true" : "false", status_name(status));
    if (repair_wanted)
        printf("%" PRIu64 ", \"remaining\": %" PRIu64 ",\n", repaired->actions,
               repaired->remaining);
    else
        printf("null, \"remaining\": %" PRIu64 ",\n", summary->findings);
    printf(" \"summary\": {\"findings\": %" PRIu64 ", \"nodes\": %" PRIu64
           ", \"data_blocks\": %" PRIu64 ", \"dead_blocks\": %" PRIu64 ", \"datasets\": %" PRIu64
           ", \"snapshots\": %" PRIu64 ", \"used_blocks\": %" PRIu64 ", \"total_blocks\": %" PRIu64
           "},\n",
           summary->findings, summary->nodes, summary->data_blocks, summary->dead_blocks,
           summary->datasets, summary->snapshots, summary->used_blocks, summary->total_blocks);
    printf(" \"memory\": {\"limit_bytes\": ");
    if (report->limit > 0)
        printf("%" PRIu64, report->limit);
    else
        fputs("null", stdout);
    printf(", \"peak_bytes\": %" PRIu64 ", \"scratch_bytes\": %" PRIu64 "},\n",
           summary->memory_peak, summary->scratch_bytes);
    if (report->size_after > 0)
        printf(" \"grown\": {\"before_bytes\": %" PRIu64 ", \"after_bytes\": %" PRIu64 "},\n",
               report->size_before, report->size_after);
    printf(" \"exit_status\": %d}\n", exit_status);
}

static void end_growth(const struct report *report) {
    char before[FORMAT_BYTES_SIZE], after[FORMAT_BYTES_SIZE];
    if (report->size_after > report->size_before)
        printf("%s: grown from %s to %s\n", report->path, format_bytes(before, report->size_before),
               format_bytes(after, report->size_after));
    else if (report->size_after > 0)
        printf("%s: has %s, and there is no room for it to grow\n", report->path,
               format_bytes(after, report->size_after));
}

static void end_memory(const struct report *report, const struct lfsx_check_summary *summary) {
    char peak[FORMAT_BYTES_SIZE], scratch[FORMAT_BYTES_SIZE];
    if (report->limit > 0 && summary->memory_peak > 0)
        printf("%s: took %s of memory and %s of scratch space\n", report->path,
               format_bytes(peak, summary->memory_peak),
               format_bytes(scratch, summary->scratch_bytes));
}

static void end_text(const struct report *report, const struct lfsx_repair_summary *repaired,
                     bool repair_wanted) {
    const struct lfsx_check_summary *summary = &repaired->check;
    char used[FORMAT_BYTES_SIZE], total[FORMAT_BYTES_SIZE];
    if (report->findings == 0)
        printf("%s: clean", report->path);
    else
        printf("%s: %" PRIu64 " finding%s", report->path, report->findings,
               report->findings == 1 ? "" : "s");
    printf("; %" PRIu64 " dataset%s", summary->datasets, summary->datasets == 1 ? "" : "s");
    if (summary->snapshots > 0)
        printf(", %" PRIu64 " snapshot%s", summary->snapshots, summary->snapshots == 1 ? "" : "s");
    printf(", %" PRIu64 " nodes, %" PRIu64 " data blocks, %s of %s used\n", summary->nodes,
           summary->data_blocks, format_bytes(used, summary->used_blocks * LFSX_BLOCK_SIZE),
           format_bytes(total, summary->total_blocks * LFSX_BLOCK_SIZE));
    if (repair_wanted && report->findings > 0)
        printf("%s: %s; %" PRIu64 " finding%s left, %" PRIu64 " range%s of data lost\n",
               report->path, repaired->actions > 0 ? "repaired" : "nothing was repaired",
               repaired->remaining, repaired->remaining == 1 ? "" : "s", repaired->losses,
               repaired->losses == 1 ? "" : "s");
}

void report_end(struct report *report, enum status status,
                const struct lfsx_repair_summary *summary, bool repair_wanted, int exit_status) {
    clear_bar(report);
    begin_losses(report);
    if (report->json)
        end_json(report, status, summary, repair_wanted, exit_status);
    else if (status == STATUS_OK)
        end_text(report, summary, repair_wanted);
    if (!report->json) {
        end_memory(report, &summary->check);
        end_growth(report);
    }
    fflush(stdout);
    if (status != STATUS_OK)
        fprintf(stderr, "fsck.lfsx: %s could not be checked: %s\n", report->path,
                status_text(status));
}
