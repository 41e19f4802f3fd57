/* SPDX-License-Identifier: Apache-2.0 */
/* A pool whose disk has grown. */
#include "tests/sim/sim_test.h"

#define ALWAYS_ENOUGH 256u /* blocks: more than maps and superblocks of a small pool take */
#define ATTEMPTS 3u

/* Bytes that the pool's labels say; 0: nobody can tell. */
static uint64_t size_seen(struct run *run) {
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        struct lfsx_label label;
        enum status status = lfsx_probe(&run->disk.device, &label);
        run_expect(run, status, run->failing & 1u << BLOCK_READ ? RUN_MAY(STATUS_NOT_LFSX) : 0,
                   "probing");
        if (status == STATUS_OK)
            return label.size;
    }
    return 0;
}

void op_grow(struct run *run, uint64_t blocks) {
    if (run->growing)
        return;
    run->growing = true;
    sim_disk_grow(&run->disk, run->disk.image.blocks + blocks);
    uint64_t bytes = run->disk.image.blocks * SIM_BLOCK_SIZE;
    uint32_t op = model_begin(&run->model, run_now(run));
    model_set(&run->model, op, MODEL_POOL_SIZE, bytes);
    enum status status = lfsx_pool_grow(run->pool);
    uint64_t now = size_seen(run);
    if (status == STATUS_OK && now == bytes)
        model_acknowledge(&run->model, op, run_now(run), true);
    else if (status == STATUS_OK && now != 0 && !run->lying)
        model_undo(&run->model, op); /* what it gained does not suffice; it may the next time */
    /* After an error it may have happened, or happen with the next checkpoint. */
    run_expect(run, status, 0, "growing the pool");
    bool is_short = status == STATUS_OK && now != 0 && now != bytes && !run->lying;
    if (is_short && blocks >= ALWAYS_ENOUGH)
        report_violation("the pool has not grown with its disk");
    run->growing = false;
}
