/* SPDX-License-Identifier: Apache-2.0 */
/* Names and labels: UTF-8 as RFC 3629 section 4 has it, and nothing that breaks a line or a path.
 */
#include "base/checksum.h"
#include "base/mem.h"
#include "storage/lfsx/format/values.h"
#include "storage/lfsx/lfsx.h"

#define CONTINUATION_BITS 6

/* What a sequence's first byte says about it. */
struct sequence {
    unsigned more;    /* continuation bytes */
    uint32_t bits;    /* of the code point, in the first byte */
    uint32_t minimum; /* a lower code point has a shorter sequence */
};

static bool sequence_start(uint8_t byte, struct sequence *sequence) {
    if (byte < 0x80)
        *sequence = (struct sequence){0, byte, 0};
    else if ((byte & 0xe0) == 0xc0)
        *sequence = (struct sequence){1, byte & 0x1f, 0x80};
    else if ((byte & 0xf0) == 0xe0)
        *sequence = (struct sequence){2, byte & 0x0f, 0x800};
    else if ((byte & 0xf8) == 0xf0)
        *sequence = (struct sequence){3, byte & 0x07, 0x10000};
    else
        return false;
    return true;
}

static bool is_control(uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

/* Length of the code point at the start of the text, 0 if there is no valid one. */
static size_t code_point(const uint8_t *text, size_t length, uint32_t *code) {
    struct sequence sequence;
    if (!sequence_start(text[0], &sequence) || sequence.more >= length)
        return 0;
    *code = sequence.bits;
    for (unsigned i = 1; i <= sequence.more; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << CONTINUATION_BITS | (text[i] & 0x3f);
    }
    bool surrogate = *code >= 0xd800 && *code <= 0xdfff;
    if (*code < sequence.minimum || *code > 0x10ffff || surrogate)
        return 0;
    return sequence.more + 1;
}

static bool is_utf8(const char *text, size_t length, bool with_controls) {
    for (size_t at = 0; at < length;) {
        uint32_t code;
        size_t size = code_point((const uint8_t *)text + at, length - at, &code);
        if (size == 0 || code == 0 || (is_control(code) && !with_controls))
            return false;
        at += size;
    }
    return true;
}

bool text_is_valid(const char *text, size_t length) {
    return is_utf8(text, length, false);
}

uint64_t names_hash(const uint8_t pool_uuid[16], const char *name, size_t length) {
    le64 seed;
    memcpy(&seed, pool_uuid, sizeof seed);
    return checksum_xxh64(name, length, le64_get(seed));
}

bool xattr_name_is_valid(const char *name, size_t length) {
    return length > 0 && length <= LFSX_NAME_MAX && is_utf8(name, length, true);
}

static bool is_dots(const char *name, size_t length) {
    return length <= 2 && memcmp(name, "..", length) == 0;
}

bool entry_name_is_valid(const char *name, size_t length) {
    if (!xattr_name_is_valid(name, length) || is_dots(name, length))
        return false;
    for (size_t i = 0; i < length; i++)
        if (name[i] == '/')
            return false;
    return true;
}

bool lfsx_name_is_valid(const char *name, size_t length) {
    if (length == 0 || length > LFSX_NAME_MAX || !text_is_valid(name, length))
        return false;
    for (size_t i = 0; i < length; i++)
        if (name[i] == '/' || name[i] == '@')
            return false;
    return !is_dots(name, length);
}
