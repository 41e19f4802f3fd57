/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lfsx: volumes and snapshots of a pool that no other program has open. Reads its arguments, opens
 * the pool, and lets one command work.
 *
 * Exit status: 0 done, 1 not done, 2 the command line makes no sense.
 */
#include "host/host.h"
#include "tools/lfsx/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_usage(FILE *to) {
    fputs(
        "Usage: lfsx COMMAND POOL [WORD]...\n"
        "Works on the volumes, shares and snapshots of POOL, a disk or an image file that no other "
        "program\nhas open.\n\n",
        to);
    for (const struct command *command = commands; command->name != NULL; command++)
        fprintf(to, "  %-9s POOL%s%s\n            %s\n", command->name,
                command->usage[0] == '\0' ? "" : " ", command->usage, command->help);
    fputs("\n"
          "SIZE is a number of bytes with an optional K, M, G, T, P or E (powers of 1024), TIME is "
          "UTC\nlike 2026-11-21T14:00:00, a duration is like 30s, 15m, 1h, 7d, 2w.\n"
          "Options may stand anywhere; behind -- a word that begins with -- is none.\n"
          "lfsx COMMAND --help explains one command.\n"
          "Exit status: 0 done, 1 not done, 2 the command line makes no sense.\n"
          "\n"
          "Example: lfsx snapshot pool.img before-upgrade database logs\n",
          to);
}

static void print_command(FILE *to, const struct command *command) {
    fprintf(to, "Usage: lfsx %s POOL%s%s\n%s\n", command->name,
            command->usage[0] == '\0' ? "" : " ", command->usage, command->help);
}

static const struct command *find_command(const char *name) {
    for (const struct command *command = commands; command->name != NULL; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

/* Takes the options out of the words; false if there is one that nobody knows. Behind "--" all are
 * words. */
static bool take_options(struct words *words) {
    int kept = 0;
    bool ended = false;
    for (int i = 0; i < words->count; i++) {
        char *word = words->at[i];
        if (ended)
            words->at[kept++] = word;
        else if (strcmp(word, "--") == 0)
            ended = true;
        else if (strcmp(word, "--help") == 0)
            words->help = true;
        else if (strcmp(word, "--snapshots") == 0)
            words->snapshots = true;
        else if (strcmp(word, "--now") == 0)
            words->now = true;
        else if (strcmp(word, "--shrink") == 0)
            words->shrink = true;
        else if (strcmp(word, "--json") == 0)
            words->json = true;
        else if (strncmp(word, "--", 2) == 0)
            return complain(word, "there is no such option; try: lfsx --help") == STATUS_OK;
        else
            words->at[kept++] = word;
    }
    words->count = kept;
    return true;
}

static enum status on_pool(const char *path, const struct command *command,
                           const struct words *words) {
    struct blockdev *device = NULL;
    struct lfsx_pool *pool = NULL;
    struct lfsx_open_options options = {.flags = command->read_only ? LFSX_OPEN_READ_ONLY : 0};
    uint32_t flags = command->read_only ? HOST_BLOCKDEV_READ_ONLY : 0;
    enum status status = host_blockdev_open(path, flags, &device);
    if (status == STATUS_BUSY)
        return complain(path, "it is in use: another program works on it");
    if (status == STATUS_OK)
        status = lfsx_pool_open(device, &options, &pool);
    if (status != STATUS_OK) {
        complain(path, status_text(status));
    } else {
        status = command->run(pool, words);
        enum status closed = lfsx_pool_close(pool);
        if (status == STATUS_OK && closed != STATUS_OK)
            status = complain(path, status_text(closed));
    }
    if (device != NULL)
        blockdev_close(device);
    return status;
}

enum status complain(const char *word, const char *what) {
    fprintf(stderr, "lfsx: %s: %s\n", word, what);
    return STATUS_INVALID;
}

bool is_name(const char *word) {
    bool good = lfsx_name_is_valid(word, strlen(word));
    if (!good)
        complain(word,
                 "this cannot be a name: 1 to 255 bytes of UTF-8 without '/', '@' and control "
                 "characters, and not . or ..");
    return good;
}

int main(int argc, char **argv) {
    host_start("lfsx");
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_usage(stdout);
        return 0;
    }
    if (argc < 2) {
        fputs("Usage: lfsx COMMAND POOL [WORD]...\nlfsx --help shows all commands\n", stderr);
        return 2;
    }
    const struct command *command = find_command(argv[1]);
    if (command == NULL) {
        complain(argv[1], "there is no such command; try: lfsx --help");
        return 2;
    }
    struct words words = {.count = argc - 2, .at = argv + 2};
    if (!take_options(&words))
        return 2;
    if (words.help) {
        print_command(stdout, command);
        return 0;
    }
    const char *path = words.at[0];
    words.at++;
    words.count--;
    if (words.count < command->least || (command->most >= 0 && words.count > command->most)) {
        print_command(stderr, command);
        return 2;
    }
    return on_pool(path, command, &words) == STATUS_OK ? 0 : 1;
}
