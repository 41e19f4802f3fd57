/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/edits.h"
#include "base/math.h"

#define EDIT_SIZE 14u
#define EDITS_MAX 16u

enum how { SET, ADD, NAME_PLACE, COPY_BLOCK, CLEAR_BLOCK, HOWS };

static void put(unsigned char *block, uint64_t offset, unsigned width, uint64_t value) {
    for (unsigned i = 0; i < width && offset + i < DISK_BLOCK_SIZE; i++)
        block[offset + i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *block, uint64_t offset, unsigned width) {
    uint64_t value = 0;
    for (unsigned i = 0; i < width && offset + i < DISK_BLOCK_SIZE; i++)
        value |= (uint64_t)block[offset + i] << 8 * i;
    return value;
}

static void edit(const struct image *image, unsigned char *content, struct input *input) {
    uint64_t how = input_take(input, 1) % HOWS;
    unsigned width = 1u << input_take(input, 1) % 4;
    uint64_t place = image->places[input_take(input, 2) % image->place_count];
    uint64_t offset = input_take(input, 2) % DISK_BLOCK_SIZE;
    uint64_t value = input_take(input, 8);
    uint64_t other = image->places[value % image->place_count];
    unsigned char *block = content + place * DISK_BLOCK_SIZE;
    switch (how) {
    case SET:
        put(block, offset, width, value);
        return;
    case ADD:
        put(block, offset, width, get(block, offset, width) + value);
        return;
    case NAME_PLACE:
        put(block, offset, 8, other);
        return;
    case COPY_BLOCK: /* with its own address, or it would be refused at once */
        memcpy(block, content + other * DISK_BLOCK_SIZE, DISK_BLOCK_SIZE);
        if (width > 2)
            put(block, 16, 8, place);
        return;
    default:
        memset(block + offset, 0, DISK_BLOCK_SIZE - offset);
        return;
    }
}

void edits_apply(const struct image *image, unsigned char *content, struct input *input) {
    for (unsigned i = 0; i < EDITS_MAX && input->left > 0; i++)
        edit(image, content, input);
}

/* Where something begins in a block, mostly. */
static unsigned likely_offset(struct random *random) {
    static const uint8_t items[] = {0, 8, 16, 17, 18, 20, 22};
    switch (random_below(random, 5)) {
    case 0: /* a header's field */
        return (unsigned)(8 + random_below(random, 240) / 4 * 4);
    case 1: /* an item */
        return (unsigned)(64 + 24 * random_below(random, 60) +
                          items[random_below(random, sizeof items)]);
    case 2: /* a value, all of which stand at the end */
        return (unsigned)(DISK_BLOCK_SIZE - 4 * (1 + random_below(random, 300)));
    case 3: /* the pointers of an inner node */
        return (unsigned)(DISK_BLOCK_SIZE - 32 * (1 + random_below(random, 20)) +
                          8 * random_below(random, 4));
    default:
        return (unsigned)random_below(random, DISK_BLOCK_SIZE);
    }
}

static uint64_t likely_value(struct random *random) {
    switch (random_below(random, 6)) {
    case 0:
        return random_below(random, 70);
    case 1:
        return UINT64_MAX - random_below(random, 70);
    case 2:
        return 1ull << random_below(random, 64);
    case 3:
        return random_below(random, DISK_MIN_DEVICE_BLOCKS);
    case 4:
        return DISK_BLOCK_SIZE - random_below(random, 70);
    default:
        return random_next(random);
    }
}

static void make_edit(struct random *random, uint8_t *at) {
    unsigned offset = likely_offset(random);
    uint64_t value = likely_value(random);
    uint64_t place = random_below(random, 128);
    at[0] = (uint8_t)(random_one_in(random, 3) ? random_below(random, HOWS)
                                               : random_below(random, NAME_PLACE));
    at[1] = (uint8_t)random_below(random, 4);
    memcpy(at + 2, &place, 2);
    memcpy(at + 4, &offset, 2);
    memcpy(at + 6, &value, 8);
}

size_t edits_mutate(uint8_t *data, size_t size, size_t max_size, unsigned seed, size_t header) {
    struct random random = {seed};
    if (size < header || random_one_in(&random, 5))
        return LLVMFuzzerMutate(data, size, max_size);
    size_t edits = (size - header) / EDIT_SIZE;
    if (random_one_in(&random, 4))
        data[random_below(&random, header)] = (uint8_t)random_next(&random);
    if (edits > 1 && random_one_in(&random, 4)) {
        size_t gone = random_below(&random, edits);
        uint8_t *at = data + header + gone * EDIT_SIZE;
        memmove(at, at + EDIT_SIZE, (edits - gone - 1) * EDIT_SIZE);
        return header + (edits - 1) * EDIT_SIZE;
    }
    size_t index = edits == 0 ? 0 : random_below(&random, edits + 1);
    if (index >= EDITS_MAX || header + (index + 1) * EDIT_SIZE > max_size)
        index = 0;
    if (header + EDIT_SIZE > max_size)
        return size;
    make_edit(&random, data + header + index * EDIT_SIZE);
    return header + MATH_MAX(edits, index + 1) * EDIT_SIZE;
}
