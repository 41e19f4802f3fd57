/* SPDX-License-Identifier: Apache-2.0 */
/* A look at what a power cut left: mount, compare with the model, check. */
#include "base/math.h"
#include "tests/sim/sim_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES (1u << 20)

struct observed observed[MODEL_NAMES];
unsigned observed_count;

enum status read_volume(struct lfsx_volume *volume, uint64_t size, unsigned char *content) {
    enum status status = STATUS_OK;
    for (uint64_t at = 0; at < size && status == STATUS_OK; at += READ_BYTES) {
        struct lfsx_buffer *buffer;
        status = lfsx_buffer_alloc(at, (uint32_t)MATH_MIN(size - at, READ_BYTES), &buffer);
        if (status != STATUS_OK)
            return status;
        status = lfsx_volume_read(volume, buffer);
        unsigned char *to = content + at;
        for (uint32_t i = 0; i < buffer->span_count && status == STATUS_OK; i++) {
            memcpy(to, buffer->spans[i].base, buffer->spans[i].length);
            to += buffer->spans[i].length;
        }
        lfsx_buffer_free(buffer);
    }
    return status;
}

static void finding(void *context, const struct lfsx_finding *found) {
    (void)context;
    report_violation("the check found %u %s: %s", found->number, found->name, found->text);
}

void check_disk(struct sim_disk *disk) {
    struct lfsx_check_options options = {.data = true, .finding = finding};
    struct lfsx_check_summary summary;
    enum status status = lfsx_check(&disk->device, &options, &summary);
    if (status != STATUS_OK)
        report_violation("the check ended with %s", status_name(status));
    counters.checks++;
}

static bool note_volume(void *context, const struct lfsx_volume_info *info) {
    (void)context;
    if (observed_count == MODEL_NAMES)
        report_violation("there are more volumes than names");
    struct observed *one = &observed[observed_count++];
    memcpy(one->name, info->name, sizeof one->name);
    one->size = info->size;
    if (one->capacity < one->size) {
        free(one->content);
        one->content = malloc(one->size);
        one->capacity = one->size;
    }
    return true;
}

struct verification {
    struct model *model;
    struct sim_disk *disk;
    const struct verify_options *options;
};

static void look(struct verification *v, struct lfsx_pool *pool) {
    observed_count = 0;
    enum status status = lfsx_volume_list(pool, note_volume, NULL);
    for (unsigned i = 0; i < observed_count && status == STATUS_OK; i++) {
        struct lfsx_volume *volume;
        status = lfsx_volume_open(pool, observed[i].name, &volume);
        if (status != STATUS_OK)
            break;
        status = read_volume(volume, observed[i].size, observed[i].content);
        lfsx_volume_close(volume);
        struct model_instance *instance;
        if (!model_saw_volume(v->model, observed[i].name, observed[i].size, &instance))
            report_violation("%s", v->model->wrong);
        model_saw_content(v->model, instance, observed[i].content);
    }
    if (status != STATUS_OK)
        report_violation("after the cut, reading ended with %s", status_name(status));
}

static void verify_main(void *argument) {
    struct verification *v = argument;
    if (v->options->check)
        check_disk(v->disk);
    struct lfsx_pool *pool;
    struct lfsx_open_options options = {.cache_bytes = 1u << 20};
    enum status status = lfsx_pool_open(&v->disk->device, &options, &pool);
    if (status != STATUS_OK)
        report_violation("after the cut, the pool does not open: %s", status_name(status));
    look(v, pool);
    if (!v->options->close)
        sim_stop();
    status = lfsx_pool_close(pool);
    if (status != STATUS_OK)
        report_violation("after the cut, closing ended with %s", status_name(status));
    if (v->options->check)
        check_disk(v->disk);
}

void verify_image(struct model *model, uint64_t cut, const struct sim_image *image,
                  const struct verify_options *options, struct sim_disk *disk) {
    sim_disk_init(disk, image->blocks, image);
    disk->recording = options->record;
    struct verification v = {model, disk, options};
    struct sim_options world = {.seed = options->seed};
    model_judge_begin(model);
    enum sim_end end = sim_run(&world, verify_main, &v);
    if (end == SIM_STUCK)
        report_violation("recovery never ends");
    if (end == SIM_DONE && sim_leaked() != 0)
        report_violation("%llu allocations were not released", (unsigned long long)sim_leaked());
    if (!model_judge(model, cut))
        report_violation("%s", model->wrong);
}
