/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the nodes that were found for a share's tree are all that it had: as many as its record
 * says, each counted once wherever it was found.
 */
#include "base/os.h"
#include "storage/lfsx/repair/share_salvage.h"

struct count {
    struct repair_share *s;
    struct repair_array blocks; /* uint64_t */
    const struct repair_range *ranges;
    bool from_older; /* of another tree: the older one */
    bool is_other;
};

static void add(struct count *count, uint64_t block) {
    uint64_t *added = repair_add(count->s->repair, &count->blocks, sizeof *added);
    if (added != NULL)
        *added = block;
}

static bool add_node(struct repair_visitor *visitor, const struct pointer *pointer) {
    struct count *count = visitor->context;
    const struct repair_share *s = count->s;
    bool is = true;
    if (count->is_other && count->from_older)
        is = pointer->birth > s->foreign && !repair_bit(visitor->repair->other, pointer->block) &&
             !repair_is_tainted(visitor->repair, pointer->block);
    else if (count->is_other)
        is = pointer->birth <= s->birth;
    if (is)
        add(count, pointer->block);
    return true;
}

static void visit(struct count *count, const struct repair_tree *tree,
                  const struct node_bounds *bounds) {
    struct repair_visitor visitor = {.repair = count->s->repair,
                                     .id = tree->id,
                                     .node = add_node,
                                     .range = *bounds,
                                     .context = count};
    repair_visit(&visitor, &tree->root);
}

/* What other trees have in a lost range. */
static void visit_others(struct count *count, const struct node_bounds *bounds) {
    const struct repair_share *s = count->s;
    struct repair *repair = s->repair;
    const struct repair_tree *trees = repair->trees.items;
    count->is_other = count->from_older = true;
    if (s->drops_known)
        visit(count, s->older, bounds);
    count->from_older = false;
    if (repair_is_head(s->tree))
        return;
    visit(count, repair_younger(repair, s->tree), bounds);
    for (uint64_t i = 0; i < repair->trees.count; i++)
        if (trees[i].id != s->tree->id && repair_older(repair, &trees[i]) == s->tree)
            visit(count, &trees[i], bounds);
}

static bool is_before(const void *a, const void *b) {
    return *(const uint64_t *)a < *(const uint64_t *)b;
}

static uint64_t count_once(struct count *count) {
    uint64_t *blocks = count->blocks.items;
    uint64_t once = 0;
    repair_sort(blocks, count->blocks.count, sizeof *blocks, is_before);
    for (uint64_t i = 0; i < count->blocks.count; i++)
        once += i == 0 || blocks[i] != blocks[i - 1];
    return once;
}

/* The tree's ranges stand together, in the order of their keys. */
static const struct repair_range *first_range(const struct repair_share *s) {
    const struct repair_range *ranges = s->repair->ranges.items;
    while (ranges->id != s->tree->id || ranges->epoch != s->tree->epoch)
        ranges++;
    return ranges;
}

static bool is_in_ranges(const struct count *count, const struct key *key) {
    uint64_t low = 0;
    uint64_t high = count->s->tree->ranges;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct node_bounds *bounds = &count->ranges[middle].bounds;
        if (!bounds->is_root && bounds->has_high && key_compare(&bounds->high, key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == count->s->tree->ranges)
        return false;
    const struct node_bounds *bounds = &count->ranges[low].bounds;
    return bounds->is_root || key_compare(&bounds->low, key) <= 0;
}

struct repair_stream repair_stream(const struct repair *repair, uint64_t owner) {
    struct repair_stream stream = {.owner = owner};
    repair_candidates_of(repair, owner, &stream.at, &stream.end);
    return stream;
}

/* What the origin has of the tree's beginning may have been dropped; the count will tell. */
static bool is_foreign(const struct repair_share *s, const struct repair_candidate *c) {
    return c->proven && c->pointer.birth <= s->foreign && c->era >= s->foreign &&
           c->owner == repair_owner(s->repair, s->tree->id, c->pointer.birth);
}

static void add_found(struct count *count) {
    const struct repair_share *s = count->s;
    const struct repair_stream *streams = s->streams.items;
    for (uint64_t i = 0; i < s->streams.count; i++) {
        struct repair_stream stream = repair_stream(s->repair, streams[i].owner);
        for (uint64_t j = stream.at; j < stream.end; j++) {
            struct repair_candidate c = repair_candidate(s->repair, j);
            if ((repair_is_owned(s, &c) || is_foreign(s, &c)) && is_in_ranges(count, &c.first))
                add(count, c.pointer.block);
        }
    }
}

bool repair_share_is_complete(struct repair_share *s) {
    struct repair *repair = s->repair;
    struct node_bounds everything = {.is_root = true};
    struct count count = {.s = s, .ranges = first_range(s)};
    const struct repair_tree *tree = s->tree;
    if (tree->found || repair->superblock_lost || repair->recount)
        return false;
    visit(&count, tree, &everything);
    for (uint64_t i = 0; i < tree->ranges && repair->failure == STATUS_OK; i++) {
        add(&count, count.ranges[i].pointer.block);
        visit_others(&count, &count.ranges[i].bounds);
    }
    add_found(&count);
    uint64_t once = count_once(&count);
    os_free(count.blocks.items);
    le64 said = repair_is_head(tree) ? tree->disk.node_blocks : tree->snapshot.node_blocks;
    return repair->failure == STATUS_OK && once == le64_get(said);
}
