/* SPDX-License-Identifier: Apache-2.0 */
/* A look at what a power cut left: mount, compare with the model, check. */
#include "tests/sim/sim_test.h"

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

/* What nothing names, and counts that do not add up because of that. */
static bool is_leak(uint32_t number) {
    return number == 41 || number == 58 || number == 93;
}

static void leak(void *context, const struct lfsx_finding *found) {
    if (!is_leak(found->number))
        finding(context, found);
}

static void action(void *context, const char *text) {
    (void)context, (void)text;
}

static void loss(void *context, const struct lfsx_loss *lost) {
    (void)context, (void)lost;
    report_violation("what leaked cost data");
}

/* Space is lost, and no more, and a repair gives it back. */
static void mend_leaks(struct sim_disk *disk) {
    struct lfsx_repair_options options = {
        .level = LFSX_REPAIR_ALL, .finding = leak, .action = action, .loss = loss};
    struct lfsx_repair_summary summary;
    enum status status = lfsx_repair(&disk->device, &options, &summary);
    if (status != STATUS_OK || summary.remaining > 0)
        report_violation("what leaked cannot be repaired: %s, %llu findings", status_name(status),
                         (unsigned long long)summary.remaining);
}

struct verification {
    struct sim_disk *disk;
    const struct verify_options *options;
    struct observation *seen;
};

static void verify_main(void *argument) {
    struct verification *v = argument;
    if (v->options->leaks)
        mend_leaks(v->disk);
    if (v->options->check)
        check_disk(v->disk);
    struct lfsx_pool *pool;
    struct lfsx_open_options options = {.cache_bytes = 1u << 20};
    enum status status = lfsx_pool_open(&v->disk->device, &options, &pool);
    if (status != STATUS_OK)
        report_violation("after the cut, the pool does not open: %s", status_name(status));
    status = observe_pool(v->seen, pool, false);
    if (status != STATUS_OK)
        report_violation("after the cut, reading ended with %s", status_name(status));
    struct lfsx_label label; /* opening has brought it up to date */
    status = lfsx_probe(&v->disk->device, &label);
    if (status != STATUS_OK)
        report_violation("after the cut, probing ended with %s", status_name(status));
    v->seen->pool_bytes = label.size;
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
    static struct observation scratch;
    sim_disk_init(disk, image->blocks, image);
    disk->recording = options->record;
    struct verification v = {disk, options, options->seen == NULL ? &scratch : options->seen};
    struct sim_options world = {.seed = options->seed, .later_ns = VERIFY_LATER_NS};
    enum sim_end end = sim_run(&world, verify_main, &v);
    if (end == SIM_STUCK)
        report_violation("recovery never ends");
    if (end == SIM_DONE && sim_leaked() != 0)
        report_violation("%llu allocations were not released", (unsigned long long)sim_leaked());
    if (!model_judge(model, v.seen, (struct model_cut){.time = cut}))
        report_violation("%s", model->wrong);
}
