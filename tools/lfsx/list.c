/* SPDX-License-Identifier: Apache-2.0 */
/* The list of volumes and snapshots, for people and as JSON. */
#include "base/format.h"
#include "storage/lfsx/lfsx_share.h"
#include "tools/lfsx/commands.h"
#include "tools/text/json.h"
#include "tools/text/time.h"

#include <inttypes.h>
#include <stdio.h>

struct listing {
    struct lfsx_pool *pool;
    bool json, deleted;
    bool later; /* not the first one at its level */
    enum status status;
};

/* Bytes that are not known if something is damaged. */
static const char *bytes_text(char text[FORMAT_BYTES_SIZE], uint64_t bytes) {
    return bytes == LFSX_BYTES_UNKNOWN ? "?" : format_bytes(text, bytes);
}

static void print_json_bytes(const char *key, uint64_t bytes) {
    if (bytes == LFSX_BYTES_UNKNOWN)
        printf(", \"%s\": null", key);
    else
        printf(", \"%s\": %" PRIu64, key, bytes);
}

static void print_json_snapshot(struct listing *listing, const struct lfsx_snapshot_info *info) {
    printf("%s{\"name\": ", listing->later ? ", " : "");
    json_print_string(info->name);
    printf(", \"epoch\": %" PRIu64 ", \"created_ns\": %" PRIu64 ", \"size\": %" PRIu64
           ", \"logical_bytes\": %" PRIu64 ", \"referenced_bytes\": %" PRIu64,
           info->epoch, info->created_ns, info->size, info->logical_bytes, info->referenced_bytes);
    print_json_bytes("unique_bytes", info->unique_bytes);
    printf(", \"clones\": %u, \"automatic\": %s}", info->clone_count,
           info->automatic ? "true" : "false");
}

static bool show_snapshot(void *context, const struct lfsx_snapshot_info *info) {
    struct listing *listing = context;
    char logical[FORMAT_BYTES_SIZE];
    char unique[FORMAT_BYTES_SIZE];
    char time[TIME_TEXT_SIZE];
    if (listing->json)
        print_json_snapshot(listing, info);
    else
        printf("         @%-26s %10s %10s  %s%s\n", info->name,
               format_bytes(logical, info->logical_bytes), bytes_text(unique, info->unique_bytes),
               time_text(time, info->created_ns), info->clone_count > 0 ? "  has clones" : "");
    listing->later = true;
    return true;
}

static void print_json_schedule(struct listing *listing, const char *name) {
    struct lfsx_schedule_rule rules[LFSX_SCHEDULE_RULES_MAX];
    uint32_t count = 0;
    (void)lfsx_schedule_get(listing->pool, name, rules, &count);
    printf(", \"schedule\": [");
    for (uint32_t i = 0; i < count; i++)
        printf("%s{\"interval_ns\": %" PRIu64 ", \"keep\": %" PRIu64 "}", i > 0 ? ", " : "",
               rules[i].interval_ns, rules[i].keep);
    printf("]");
}

/* What a volume has to itself. Bytes. */
struct takes {
    uint64_t unique, total;
};

/* What is the matter with a volume or share, behind its line. */
static const char *ill_text(enum status damage, enum status dead_damage) {
    if (damage != STATUS_OK)
        return "  damaged: run fsck.lfsx";
    return dead_damage != STATUS_OK ? "  leaks space: run fsck.lfsx" : "";
}

static void print_json_volume(struct listing *listing, const struct lfsx_volume_info *info,
                              const struct takes *takes) {
    printf("%s\n  {\"id\": %" PRIu64 ", \"name\": ", listing->later ? "," : "", info->id);
    json_print_string(info->name);
    printf(", \"size\": %" PRIu64 ", \"logical_bytes\": %" PRIu64 ", \"referenced_bytes\": %" PRIu64
           ", \"quota_bytes\": %" PRIu64 ", \"reserved_bytes\": %" PRIu64
           ", \"created_ns\": %" PRIu64 ", \"deleted_ns\": %" PRIu64
           ", \"protected\": %s, \"damaged\": %s, \"leaks\": %s",
           info->size, info->logical_bytes, info->referenced_bytes, info->quota_bytes,
           info->reserved_bytes, info->created_ns, info->deleted_ns,
           info->is_protected ? "true" : "false", info->damage != STATUS_OK ? "true" : "false",
           info->dead_damage != STATUS_OK ? "true" : "false");
    print_json_bytes("unique_bytes", takes->unique);
    print_json_bytes("total_bytes", takes->total);
    printf(", \"origin\": ");
    json_print_string(info->origin);
}

static void print_volume(struct listing *listing, const struct lfsx_volume_info *info,
                         uint64_t unique) {
    char size[FORMAT_BYTES_SIZE];
    char logical[FORMAT_BYTES_SIZE];
    char own[FORMAT_BYTES_SIZE];
    char time[TIME_TEXT_SIZE];
    printf("%6" PRIu64 "  %-20s %7s %10s %10s  %s%s%s%s%s%s\n", info->id, info->name,
           info->damage == STATUS_OK ? format_bytes(size, info->size) : "?",
           format_bytes(logical, info->logical_bytes),
           listing->deleted ? "" : bytes_text(own, unique), time_text(time, info->created_ns),
           info->origin[0] != '\0' ? "  from " : "", info->origin,
           info->is_protected ? "  protected" : "", listing->deleted ? "  deleted" : "",
           ill_text(info->damage, info->dead_damage));
}

static void show_bounds(const struct lfsx_volume_info *info, const struct takes *takes) {
    char size[FORMAT_BYTES_SIZE];
    if (info->snapshot_count > 0)
        printf("         %s with its snapshots\n", bytes_text(size, takes->total));
    if (info->quota_bytes > 0)
        printf("         quota %s\n", format_bytes(size, info->quota_bytes));
    if (info->reserved_bytes > 0)
        printf("         reserved %s\n", format_bytes(size, info->reserved_bytes));
}

static void show_schedule(struct listing *listing, const char *name) {
    struct lfsx_schedule_rule rules[LFSX_SCHEDULE_RULES_MAX];
    uint32_t count = 0;
    char interval[TIME_TEXT_SIZE];
    if (lfsx_schedule_get(listing->pool, name, rules, &count) != STATUS_OK || count == 0)
        return;
    printf("         snapshots by themselves:");
    for (uint32_t i = 0; i < count; i++)
        printf(" %s=%" PRIu64, duration_text(interval, rules[i].interval_ns), rules[i].keep);
    printf("\n");
}

static void show_snapshots(struct listing *listing, const char *name) {
    struct listing inner = {.pool = listing->pool, .json = listing->json};
    if (listing->json) {
        print_json_schedule(listing, name);
        printf(", \"snapshots\": [");
    } else {
        show_schedule(listing, name);
    }
    listing->status = lfsx_snapshot_list(listing->pool, name, show_snapshot, &inner);
    if (listing->json)
        printf("]");
}

/* Of a deleted one nobody can ask: zeros. */
static struct takes ask_takes(struct listing *listing, const char *name) {
    struct takes takes = {0};
    if (listing->deleted)
        return takes;
    listing->status = lfsx_volume_unique(listing->pool, name, &takes.unique);
    if (listing->status == STATUS_OK)
        listing->status = lfsx_volume_total(listing->pool, name, &takes.total);
    return takes;
}

static bool show_volume(void *context, const struct lfsx_volume_info *info) {
    struct listing *listing = context;
    struct takes takes = ask_takes(listing, info->name);
    if (listing->status != STATUS_OK)
        return false;
    if (listing->json)
        print_json_volume(listing, info, &takes);
    else
        print_volume(listing, info, takes.unique);
    if (!listing->json && !listing->deleted)
        show_bounds(info, &takes);
    if (!listing->deleted)
        show_snapshots(listing, info->name);
    if (listing->json)
        printf("}");
    listing->later = true;
    return listing->status == STATUS_OK;
}

static void print_pool(struct lfsx_pool *pool, bool json) {
    struct lfsx_pool_info info;
    char size[FORMAT_BYTES_SIZE];
    char used[FORMAT_BYTES_SIZE];
    char available[FORMAT_BYTES_SIZE];
    lfsx_pool_info(pool, &info);
    if (json) {
        printf("{\"label\": ");
        json_print_string(info.label);
        printf(", \"size_bytes\": %" PRIu64 ", \"used_bytes\": %" PRIu64
               ", \"available_bytes\": %" PRIu64 ", \"volumes\": [",
               info.size_bytes, info.used_bytes, info.available_bytes);
        return;
    }
    printf("pool%s%s: %s, %s in use, %s available\n", info.label[0] != '\0' ? " " : "", info.label,
           format_bytes(size, info.size_bytes), format_bytes(used, info.used_bytes),
           format_bytes(available, info.available_bytes));
    printf("number  %-20s %7s %10s %10s  %s\n", "name", "size", "data", "its own", "created");
}

static bool show_share(void *context, const struct lfsx_share_info *info) {
    struct listing *listing = context;
    char data[FORMAT_BYTES_SIZE];
    char time[TIME_TEXT_SIZE];
    if (listing->json) {
        printf("%s{\"id\": %" PRIu64 ", \"name\": ", listing->later ? ", " : "", info->id);
        json_print_string(info->name);
        printf(", \"logical_bytes\": %" PRIu64 ", \"created_ns\": %" PRIu64
               ", \"damaged\": %s, \"leaks\": %s",
               info->used_bytes, info->created_ns, info->damage != STATUS_OK ? "true" : "false",
               info->dead_damage != STATUS_OK ? "true" : "false");
    } else {
        printf("%6" PRIu64 "  %-20s %7s %10s %10s  %s%s\n", info->id, info->name, "share",
               format_bytes(data, info->used_bytes), "", time_text(time, info->created_ns),
               ill_text(info->damage, info->dead_damage));
    }
    show_snapshots(listing, info->name);
    if (listing->json)
        printf("}");
    listing->later = true;
    return listing->status == STATUS_OK;
}

enum status list_run(struct lfsx_pool *pool, const struct words *words) {
    struct listing listing = {.pool = pool, .json = words->json};
    print_pool(pool, words->json);
    enum status status = lfsx_volume_list(pool, show_volume, &listing);
    if (status == STATUS_OK)
        status = listing.status;
    if (words->json)
        printf("], \"shares\": [");
    listing = (struct listing){.pool = pool, .json = words->json};
    if (status == STATUS_OK)
        status = lfsx_share_list(pool, show_share, &listing);
    if (status == STATUS_OK)
        status = listing.status;
    if (words->json)
        printf("], \"deleted\": [");
    listing = (struct listing){.pool = pool, .json = words->json, .deleted = true};
    if (status == STATUS_OK)
        status = lfsx_deleted_list(pool, show_volume, &listing);
    if (words->json)
        printf("]}\n");
    if (status != STATUS_OK)
        complain("list", status_text(status));
    return status;
}
