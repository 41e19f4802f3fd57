/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text (RFC 8259) on standard output. */
#ifndef TOOLS_TEXT_JSON_H
#define TOOLS_TEXT_JSON_H

/* Prints the text as a JSON string with its quotes. What is not UTF-8 becomes U+FFFD: names read
 * from a damaged pool may hold anything. */
void json_print_string(const char *text);

#endif
