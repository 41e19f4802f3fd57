/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two copies of the line are kept: the text as it came, and one that is split in place into words.
 * Words are NUL-terminated, and an empty word ends them; nothing changes after boot.
 */
#include "kernel/boot/command_line.h"

#include "base/log.h"
#include "base/mem.h"
#include "kernel/boot/memory_map.h"
#include "kernel/mm/memory.h"

#include <stdbool.h>
#include <stdint.h>

static const char *whole = "";
static const char *words = "";

/* Takes quotes off and puts a NUL where a word ends; the result is never longer. */
static void split(char *out, const char *text) {
    bool quoted = false;
    bool in_word = false;
    for (; *text != '\0'; text++) {
        bool space = (*text == ' ' || *text == '\t' || *text == '\n') && !quoted;
        if (*text == '"')
            quoted = !quoted;
        else if (!space)
            *out++ = *text;
        else if (in_word)
            *out++ = '\0';
        in_word = !space;
    }
    *out++ = '\0';
    *out = '\0';
}

void command_line_set(const char *text) {
    size_t length = strlen(text);
    uint64_t memory = memory_map_allocate(2 * length + 3, 16, MEMORY_MAP_EARLY);
    if (memory == 0) {
        log_error("boot", "no memory for a command line of %zu bytes; it is ignored", length);
        return;
    }
    char *copy = memory_virtual(memory);
    memcpy(copy, text, length + 1);
    split(copy + length + 1, text);
    whole = copy;
    words = copy + length + 1;
}

const char *command_line_text(void) {
    return whole;
}

static const char *value_of(const char *word, const char *key) {
    size_t length = strlen(key);
    if (strncmp(word, key, length) != 0)
        return NULL;
    if (word[length] == '=')
        return word + length + 1;
    return word[length] == '\0' ? word + length : NULL;
}

const char *command_line_get_nth(const char *key, size_t index) {
    for (const char *word = words; *word != '\0'; word += strlen(word) + 1) {
        const char *value = value_of(word, key);
        if (value != NULL && index-- == 0)
            return value;
    }
    return NULL;
}

const char *command_line_get(const char *key) {
    const char *last = NULL;
    for (const char *word = words; *word != '\0'; word += strlen(word) + 1) {
        const char *value = value_of(word, key);
        if (value != NULL)
            last = value;
    }
    return last;
}
