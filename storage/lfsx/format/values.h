/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the items of a tree hold: the validator behind node_validate(), which knows only how items
 * lie in their node. Whoever reads a node from a device calls both, and from then on takes its
 * values for what they say. Pure functions; any context.
 */
#ifndef STORAGE_LFSX_FORMAT_VALUES_H
#define STORAGE_LFSX_FORMAT_VALUES_H

#include "base/status.h"
#include "storage/lfsx/format/geometry.h"
#include "storage/lfsx/format/node.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether one item of a leaf of `owner`'s tree is one that this version of the format has. CORRUPT,
 * and *why says what is wrong with it, as the end of a sentence that starts with "the item". */
enum status value_validate(const struct item *item, const struct geometry *geometry, uint64_t owner,
                           const char **why);

/* Everything about a node's values that can be told from the node: of a leaf, every item, and that
 * its extents do not overlap; of an inner node, that its children stand where nodes may. The node
 * has passed node_validate(). CORRUPT, *why as above. */
enum status node_values_validate(const struct disk_node *node, const struct geometry *geometry,
                                 const char **why);

/* Whether a valid item of a dataset's tree is one that a volume may have: CORRUPT, *why as above.
 */
enum status value_validate_volume(const struct item *item, const char **why);

/* Number of bytes of a piece of an extended attribute whose name and value are `total` bytes long;
 * 0: it has no such piece. */
uint64_t xattr_piece_length(uint64_t total, uint64_t piece);

/* Where a name stands, but for the low bits that say which slot it has. */
uint64_t names_hash(const uint8_t pool_uuid[16], const char *name, size_t length);

/* True for 1..LFSX_NAME_MAX bytes of strict UTF-8 without '/' and zero bytes, but "." and "..". */
bool entry_name_is_valid(const char *name, size_t length);
/* The same, but for '/', "." and "..", which it allows. */
bool xattr_name_is_valid(const char *name, size_t length);

/* True for strict UTF-8 (RFC 3629) without control characters; the empty text is. */
bool text_is_valid(const char *text, size_t length);

#endif
