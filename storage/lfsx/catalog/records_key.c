/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/lfsx/catalog/records_key.h"
#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"

#define KEY_LENGTH 17u

struct mvcc_key records_key(const struct key *key) {
    struct mvcc_key out = {.length = KEY_LENGTH};
    be64 inode = be64_make(key->inode);
    be64 offset = be64_make(key->offset);
    memcpy(out.bytes, &inode, sizeof inode);
    out.bytes[8] = key->type;
    memcpy(out.bytes + 9, &offset, sizeof offset);
    return out;
}

struct key records_tree_key(const struct mvcc_key *key) {
    ASSERT(key->length == KEY_LENGTH);
    be64 inode;
    be64 offset;
    memcpy(&inode, key->bytes, sizeof inode);
    memcpy(&offset, key->bytes + 9, sizeof offset);
    return (struct key){
        .inode = be64_get(inode), .type = key->bytes[8], .offset = be64_get(offset)};
}

bool records_key_at_least(const struct mvcc_key *key, struct key *out) {
    struct mvcc_key cut = *key;
    cut.length = KEY_LENGTH;
    ASSERT(key->length >= KEY_LENGTH); /* those of this store, and what comes right behind them */
    *out = records_tree_key(&cut);
    if (key->length == KEY_LENGTH || ++out->offset != 0)
        return true;
    if (++out->type != 0)
        return true;
    return ++out->inode != 0;
}
