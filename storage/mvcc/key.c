/* SPDX-License-Identifier: Apache-2.0 */
#include "base/format.h"
#include "base/math.h"
#include "base/mem.h"
#include "storage/mvcc/mvcc.h"

int mvcc_key_compare(const struct mvcc_key *a, const struct mvcc_key *b) {
    int order = memcmp(a->bytes, b->bytes, MATH_MIN(a->length, b->length));
    return order != 0 ? order : a->length - b->length;
}

/* Nothing comes between a key and the same with a zero behind it. A key that has no room for one is
 * followed by the shortest that is greater: its last byte that can be raised, raised. */
bool mvcc_key_advance(struct mvcc_key *key) {
    if (key->length < MVCC_KEY_SIZE) {
        key->bytes[key->length++] = 0;
        return true;
    }
    unsigned length = key->length;
    while (length > 0 && key->bytes[length - 1] == 0xff)
        length--;
    if (length == 0)
        return false;
    key->bytes[length - 1]++;
    key->length = (uint8_t)length;
    return true;
}

const char *mvcc_key_text(const struct mvcc_key *key, char out[static MVCC_KEY_TEXT_SIZE]) {
    format_text(out, MVCC_KEY_TEXT_SIZE, "''");
    for (unsigned i = 0; i < MATH_MIN(key->length, MVCC_KEY_SIZE); i++)
        format_text(out + (size_t)i * 2, MVCC_KEY_TEXT_SIZE - (size_t)i * 2, "%02x", key->bytes[i]);
    return out;
}
