/* SPDX-License-Identifier: Apache-2.0 */
/* Content of files in shares. */
#include "base/math.h"
#include "tests/sim/ops_share.h"

#include <string.h>

static struct model_bytes *file_of(struct run *run, unsigned instance, uint32_t object) {
    return &object_of(run, instance, object)->file;
}

static uint64_t size_now(struct run *run, unsigned instance, uint32_t object) {
    return model_value(&run->model, file_of(run, instance, object)->size);
}

/* ---- an open file, and what is claimed of it ---- */

struct use {
    struct client *client;
    unsigned instance;
    uint32_t object;
    bool resizes;
    struct lfsx_share *share;
    struct lfsx_file *file;
};

/* A range of sectors while the size stays, or all of the file. */
static bool claim(struct use *use, const struct range *range) {
    struct run *run = use->client->run;
    struct model_object *own = object_of(run, use->instance, use->object);
    bool is_free = use->resizes ? own->users == 0 : range_is_free(run, range);
    if (own->resizing || !is_free || !claim_object(run, use->instance, use->object))
        return false;
    range_claim(use->client, range);
    own->users++;
    own->resizing = use->resizes;
    return true;
}

static void unclaim(struct use *use) {
    struct run *run = use->client->run;
    struct model_object *own = object_of(run, use->instance, use->object);
    own->users--;
    own->resizing = false;
    range_release(use->client);
    unclaim_object(run, use->instance, use->object);
}

static void close_use(struct use *use) {
    if (use->file != NULL)
        lfsx_file_close(use->file);
    if (use->share != NULL)
        share_leave(use->client->run, use->instance, use->share);
    unclaim(use);
}

/* False: somebody else is at it, or it cannot be opened. */
static bool open_use(struct use *use, struct client *client, const struct range *range,
                     bool resizes) {
    struct run *run = client->run;
    *use = (struct use){.client = client,
                        .instance = (unsigned)range->instance,
                        .object = range->object,
                        .resizes = resizes};
    if (!claim(use, range))
        return false;
    use->share = share_enter(run, use->instance);
    if (use->share != NULL) {
        uint64_t inode = object_of(run, use->instance, use->object)->inode;
        enum status status = lfsx_file_open(use->share, inode, &use->file);
        run_expect(run, status, 0, "opening a file");
        if (status == STATUS_OK)
            return true;
    }
    close_use(use);
    return false;
}

/* ---- bytes ---- */

static enum status write_bytes(struct lfsx_file *file, uint64_t offset, uint64_t length,
                               const unsigned char *from, bool fua) {
    struct lfsx_buffer *buffer;
    enum status status = lfsx_buffer_alloc(offset, (uint32_t)length, &buffer);
    if (status != STATUS_OK)
        return status;
    for (uint32_t i = 0; i < buffer->span_count; i++) {
        memcpy(buffer->spans[i].base, from, buffer->spans[i].length);
        from += buffer->spans[i].length;
    }
    status = lfsx_file_write(file, buffer, fua ? LFSX_FUA : 0);
    lfsx_buffer_free(buffer);
    return status;
}

static enum status read_bytes(struct lfsx_file *file, uint64_t offset, uint64_t length,
                              unsigned char *to, uint32_t *before_end) {
    struct lfsx_buffer *buffer;
    enum status status = lfsx_buffer_alloc(offset, (uint32_t)length, &buffer);
    if (status != STATUS_OK)
        return status;
    status = lfsx_file_read(file, buffer, before_end);
    for (uint32_t i = 0; i < buffer->span_count && status == STATUS_OK; i++) {
        memcpy(to, buffer->spans[i].base, buffer->spans[i].length);
        to += buffer->spans[i].length;
    }
    lfsx_buffer_free(buffer);
    return status;
}

static void draw_bytes(struct client *client, uint64_t length) {
    for (uint64_t i = 0; i < length; i += 8) {
        uint64_t word = sim_random_next(&client->run->random);
        memcpy(client->data + i, &word, MATH_MIN(8, length - i));
    }
}

/* ---- operations ---- */

void op_file_write(struct client *client, const struct range *range, bool fua) {
    struct run *run = client->run;
    struct use use;
    unsigned instance = (unsigned)range->instance;
    bool grows = range->offset + range->length > size_now(run, instance, range->object);
    if (!open_use(&use, client, range, grows))
        return;
    draw_bytes(client, range->length);
    uint32_t op = model_change(&run->model, run_now(run), file_of(run, instance, range->object),
                               range->offset, range->length, client->data);
    enum status status = write_bytes(use.file, range->offset, range->length, client->data, fua);
    share_finish(run, instance, use.share, op, status, fua);
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "a write to a file");
    close_use(&use);
}

void op_file_read(struct client *client, const struct range *range) {
    struct run *run = client->run;
    struct use use;
    if (!open_use(&use, client, range, false))
        return;
    uint32_t got = 0;
    enum status status = read_bytes(use.file, range->offset, range->length, client->data, &got);
    const struct model_bytes *file = file_of(run, use.instance, range->object);
    uint64_t size = model_value(&run->model, file->size);
    uint64_t wanted = size <= range->offset ? 0 : MATH_MIN(size - range->offset, range->length);
    run_expect(run, status, 0, "reading a file");
    if (status == STATUS_OK && !run->in_doubt) {
        if (got != wanted)
            report_violation("a file's end is elsewhere");
        if (wanted > 0 && memcmp(client->data, file->content + range->offset, wanted) != 0)
            report_violation("a file has something else than was written last");
        for (uint64_t i = wanted; i < range->length; i++)
            if (client->data[i] != 0)
                report_violation("behind a file's end is something");
    }
    close_use(&use);
}

void op_file_truncate(struct client *client, unsigned instance, uint32_t object, uint64_t size,
                      bool fua) {
    struct run *run = client->run;
    struct range all = {(int)instance, object, 0, MODEL_CELL};
    struct use use;
    if (!open_use(&use, client, &all, true))
        return;
    uint32_t op = model_resize(&run->model, run_now(run), file_of(run, instance, object), size);
    enum status status = lfsx_file_truncate(use.file, size, fua ? LFSX_FUA : 0);
    share_finish(run, instance, use.share, op, status, fua);
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "a truncation");
    close_use(&use);
}

/* May be there block by block, as far as the file goes. */
void op_file_zero(struct client *client, const struct range *range, bool no_hole, bool fua) {
    struct run *run = client->run;
    struct use use;
    if (!open_use(&use, client, range, false))
        return;
    uint64_t end =
        MATH_MIN(range->offset + range->length, size_now(run, use.instance, range->object));
    uint32_t first = run->model.op_count;
    uint64_t started = run_now(run);
    for (uint64_t at = range->offset; at < end;) {
        uint64_t next = MATH_MIN(end, math_round_down(at, LFSX_BLOCK_SIZE) + LFSX_BLOCK_SIZE);
        model_change(&run->model, started, file_of(run, use.instance, range->object), at, next - at,
                     NULL);
        at = next;
    }
    uint32_t flags = (fua ? LFSX_FUA : 0) | (no_hole ? LFSX_NO_HOLE : 0);
    enum status status = lfsx_file_zero(use.file, range->offset, range->length, flags);
    if (first < run->model.op_count && run->model.ops[first].started == started)
        share_finish(run, use.instance, use.share, first, status, fua);
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "zeroing a part of a file");
    close_use(&use);
}

/* ---- what has no name any more ---- */

/* Nothing of it can be there after a cut, so the model need not know. */
static void use_orphan(struct client *client, struct lfsx_file *file) {
    struct run *run = client->run;
    uint64_t length = 1 + run_below(run, MATH_MIN(run->plan.file_bytes, run->plan.max_length));
    uint64_t offset = run_below(run, 1 + run->plan.file_bytes - length);
    draw_bytes(client, length);
    enum status status = write_bytes(file, offset, length, client->data, run_one_in(run, 3));
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "a write to a removed file");
    uint32_t got = 0;
    if (status == STATUS_OK)
        status = read_bytes(file, offset, length, client->before, &got);
    else
        return;
    run_expect(run, status, 0, "reading a removed file");
    if (status == STATUS_OK && (got != length || memcmp(client->before, client->data, length) != 0))
        report_violation("a removed file that is open has lost what was written");
    if (run_one_in(run, 2))
        run_expect(run, lfsx_file_truncate(file, offset, 0), RUN_MAY(STATUS_NO_SPACE),
                   "truncating a removed file");
}

static void unlink_open(struct client *client, unsigned instance, struct spot spot,
                        struct lfsx_share *share, struct lfsx_file *file) {
    struct run *run = client->run;
    uint32_t op = model_begin(&run->model, run_now(run));
    model_set(&run->model, op, object_of(run, instance, spot.directory)->entries + spot.name, 0);
    enum status status = lfsx_share_unlink(share, object_of(run, instance, spot.directory)->inode,
                                           tree_name(spot.name), 0);
    share_finish(run, instance, share, op, status, false);
    run_expect(run, status, RUN_MAY(STATUS_NO_SPACE), "removing an open file");
    if (status == STATUS_OK)
        use_orphan(client, file);
}

static void orphan(struct client *client, unsigned instance, struct spot spot, uint32_t object) {
    struct run *run = client->run;
    struct lfsx_share *share = share_enter(run, instance);
    if (share == NULL)
        return;
    struct lfsx_file *file;
    enum status status = lfsx_file_open(share, object_of(run, instance, object)->inode, &file);
    run_expect(run, status, 0, "opening a file");
    if (status == STATUS_OK) {
        unlink_open(client, instance, spot, share, file);
        lfsx_file_close(file);
    }
    share_leave(run, instance, share);
}

void op_file_orphan(struct client *client, unsigned instance, struct spot spot) {
    struct run *run = client->run;
    struct model_share *share = run->model.instances[instance].share;
    if (!claim_spot(run, instance, spot))
        return;
    uint32_t object = model_lookup(&run->model, share, spot.directory, spot.name);
    bool suits = object != MODEL_NO_OBJECT &&
                 object_of(run, instance, object)->kind == LFSX_REGULAR &&
                 model_links(&run->model, share, object) == 1;
    if (suits && claim_leaving(run, instance, object)) {
        orphan(client, instance, spot, object);
        unclaim_leaving(run, instance, object);
    }
    unclaim_spot(run, instance, spot);
}
