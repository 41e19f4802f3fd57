/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the nodes that were found for a share's tree are all that it had: as many as its record
 * says, each counted once wherever it was found.
 *
 * What a clone has from its origin still, nobody knows; but what it changed stands in leaves of its
 * own. So nodes of the origin count where no own leaf has keys, if not only the number of nodes is
 * right then, but also how many blocks of data there are, and how much of both is the origin's.
 */
#include "base/os.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/repair/share_salvage.h"

struct found {
    uint64_t block;
    uint64_t data,
        foreign; /* blocks that its extents name; nodes and blocks that are the origin's */
};

struct count {
    struct repair_share *s;
    struct repair_array found; /* struct found */
    const struct repair_range *ranges;
    enum { OF_TREE, OF_OLDER, OF_YOUNGER } of;
};

static void add(struct count *count, const struct pointer *pointer, const struct disk_node *node) {
    struct found *found = repair_add(count->s->repair, &count->found, sizeof *found);
    uint64_t foreign = count->s->foreign;
    if (found == NULL)
        return;
    *found = (struct found){.block = pointer->block, .foreign = pointer->birth <= foreign};
    for (unsigned i = 0; node != NULL && node->level == 0 && i < node_count(node); i++) {
        struct item item = node_item(node, i);
        const struct disk_extent *extent = item.value;
        if (item.key.type != DISK_TYPE_EXTENT)
            continue;
        found->data += le32_get(extent->block_count);
        if (le64_get(extent->birth) <= foreign)
            found->foreign += le32_get(extent->block_count);
    }
}

static bool add_node(struct repair_visitor *visitor, const struct pointer *pointer) {
    struct count *count = visitor->context;
    struct repair_share *s = count->s;
    const struct disk_node *node = visitor->repair->path[pointer->level];
    bool is = true;
    if (count->of == OF_OLDER)
        is = node_count(node) > 0 && repair_is_older_common(s, pointer);
    else if (count->of == OF_YOUNGER)
        is = pointer->birth <= s->birth;
    if (is)
        add(count, pointer, node);
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
    count->of = OF_OLDER;
    if (s->older != NULL)
        visit(count, s->older, bounds);
    count->of = OF_YOUNGER;
    if (repair_is_head(s->tree))
        return;
    visit(count, repair_younger(repair, s->tree), bounds);
    for (uint64_t i = 0; i < repair->trees.count; i++)
        if (trees[i].id != s->tree->id && repair_older(repair, &trees[i]) == s->tree)
            visit(count, &trees[i], bounds);
}

static bool is_before(const void *a, const void *b) {
    return ((const struct found *)a)->block < ((const struct found *)b)->block;
}

/* Whether it is what the record says. */
static bool is_all(struct count *count) {
    const struct repair_tree *tree = count->s->tree;
    struct found *found = count->found.items;
    uint64_t nodes = 0;
    struct found sum = {0};
    repair_sort(found, count->found.count, sizeof *found, is_before);
    for (uint64_t i = 0; i < count->found.count; i++) {
        if (i > 0 && found[i].block == found[i - 1].block)
            continue;
        nodes++;
        sum.data += found[i].data;
        sum.foreign += found[i].foreign;
    }
    bool head = repair_is_head(tree);
    le64 said_nodes = head ? tree->disk.node_blocks : tree->snapshot.node_blocks;
    le64 said_data = head ? tree->disk.data_blocks : tree->snapshot.data_blocks;
    le64 said_foreign = head ? tree->disk.shared_blocks : tree->snapshot.shared_blocks;
    return nodes == le64_get(said_nodes) &&
           (count->s->foreign == 0 ||
            (sum.data == le64_get(said_data) && sum.foreign == le64_get(said_foreign)));
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

static void add_candidate(struct count *count, const struct repair_candidate *c) {
    struct repair *repair = count->s->repair;
    bool read = count->s->foreign != 0 && c->pointer.level == 0;
    const char *why;
    if (read && (!repair_read(repair, c->pointer.block, repair->page) ||
                 node_values_validate(repair->page, &repair->label.geometry, &why) != STATUS_OK))
        return;
    add(count, &c->pointer, read ? repair->page : NULL);
}

static void add_found(struct count *count) {
    const struct repair_share *s = count->s;
    const struct repair_stream *streams = s->streams.items;
    for (uint64_t i = 0; i < s->streams.count; i++) {
        struct repair_stream stream = repair_stream(s->repair, streams[i].owner);
        for (uint64_t j = stream.at; j < stream.end; j++) {
            struct repair_candidate c = repair_candidate(s->repair, j);
            if ((repair_is_owned(s, &c) || repair_is_foreign(s, &c)) &&
                is_in_ranges(count, &c.first))
                add_candidate(count, &c);
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
        add(&count, &count.ranges[i].pointer, NULL);
        visit_others(&count, &count.ranges[i].bounds);
    }
    add_found(&count);
    bool all = repair->failure == STATUS_OK && is_all(&count);
    os_free(count.found.items);
    return all;
}

/* ---- leaves of the tree's own, and what is between them ---- */

void repair_find_own(struct repair_share *s) {
    struct repair_stream stream = repair_stream(s->repair, s->tree->id);
    for (uint64_t i = stream.at; i < stream.end; i++) {
        struct repair_candidate c = repair_candidate(s->repair, i);
        if (c.pointer.level > 0 || !repair_is_owned(s, &c))
            continue;
        struct repair_span *span = repair_add(s->repair, &s->own, sizeof *span);
        if (span != NULL)
            *span = (struct repair_span){c.first, c.last};
    }
}

/* Own leaves do not overlap each other. */
static bool overlaps_own(const struct repair_share *s, const struct key *first,
                         const struct key *last) {
    const struct repair_span *own = s->own.items;
    uint64_t low = 0;
    uint64_t high = s->own.count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (key_compare(&own[middle].first, last) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && key_compare(&own[low - 1].last, first) >= 0;
}

bool repair_is_foreign(const struct repair_share *s, const struct repair_candidate *c) {
    return c->proven && c->pointer.birth <= s->foreign && c->era >= s->foreign &&
           c->owner == repair_owner(s->repair, s->tree->id, c->pointer.birth) &&
           !overlaps_own(s, &c->first, &c->last);
}

/* The key of the last item of a subtree of the older tree, whose root is in its page. */
static bool find_end(const struct repair_share *s, const struct pointer *root, struct key *last) {
    struct repair *repair = s->repair;
    struct node_bounds anything = {.is_root = true};
    struct pointer pointer = *root;
    while (pointer.level > 0) {
        const struct disk_node *node = repair->path[pointer.level];
        pointer = node_child(node, node_count(node) - 1);
        if (!repair_node(repair, &pointer, repair_owner(repair, s->older->id, pointer.birth),
                         &anything))
            return false;
    }
    *last = node_key(repair->path[0], node_count(repair->path[0]) - 1);
    return true;
}

bool repair_is_older_common(const struct repair_share *s, const struct pointer *pointer) {
    const struct disk_node *node = s->repair->path[pointer->level];
    struct key first = node_key(node, 0);
    struct key last;
    if (repair_is_tainted(s->repair, pointer->block))
        return false;
    if (pointer->birth > s->foreign)
        return s->drops_known && !repair_bit(s->repair->other, pointer->block);
    return find_end(s, pointer, &last) && !overlaps_own(s, &first, &last);
}
