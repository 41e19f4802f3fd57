/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/text/json.h"

#include <stdint.h>
#include <stdio.h>

/* How many bytes the valid UTF-8 sequence at `text` has; 0 if there is none (RFC 3629, section 4).
 */
static int utf8_length(const unsigned char *text) {
    static const struct {
        unsigned char first, last; /* of the lead byte */
        unsigned char second_low, second_high;
        int length;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (unsigned form = 0; form < sizeof forms / sizeof forms[0]; form++) {
        if (text[0] < forms[form].first || text[0] > forms[form].last)
            continue;
        if (forms[form].length > 1 &&
            (text[1] < forms[form].second_low || text[1] > forms[form].second_high))
            return 0;
        for (int i = 2; i < forms[form].length; i++)
            if (text[i] < 0x80 || text[i] > 0xbf)
                return 0;
        return forms[form].length;
    }
    return 0;
}

void json_print_string(const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    putchar('"');
    while (*at != '\0') {
        int length = utf8_length(at);
        if (length == 0)
            fputs("\\ufffd", stdout);
        else if (*at == '"' || *at == '\\')
            printf("\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            printf("\\u%04x", *at);
        else
            fwrite(at, 1, (size_t)length, stdout);
        at += length == 0 ? 1 : length;
    }
    putchar('"');
}
