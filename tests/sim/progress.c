/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint that hangs holds up nobody who commits what the journal knows. */
#include "base/os.h"
#include "storage/lfsx/lfsx_format.h"
#include "tests/sim/sim_test.h"

#define HANG_NS 100000000000ull

static void write_a_block(struct client *client, bool fua) {
    struct range range = {model_present(&client->run->model, 0), 0, 0, 4096};
    range_claim(client, &range);
    op_write(client, &range, fua);
    range_release(client);
}

/* The keeper begins a checkpoint after five seconds, and its superblock hangs for longer than a
 * commit takes. */
static void commit_meanwhile(struct client *client) {
    write_a_block(client, false);
    os_sleep_ns(6000000000ull);
    uint64_t begun = os_now_ns();
    write_a_block(client, true);
    if (os_now_ns() - begun > 10000000)
        report_violation("a commit waited for a checkpoint that it did not need");
}

void progress(uint64_t seed) {
    uint64_t mark = sim_store_mark();
    struct plan plan = script_plan();
    struct scene scene;
    scene_make(&scene, &plan, seed, true);
    plan.delays = (struct sim_delays){100000, HANG_NS, 1, DISK_AREA_BLOCKS};
    struct run run;
    run_init_from(&run, &plan, seed, &scene.image, &scene.seen);
    run.script = commit_meanwhile;
    run.close = true;
    run_go(&run);
    run_destroy(&run);
    scene_destroy(&scene);
    sim_store_release(mark);
}
