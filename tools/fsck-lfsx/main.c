/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck.lfsx: checks an LFSX pool. Reads its arguments, runs lfsx_check(), reports. It never writes
 * to the device.
 */
#include "host/host.h"
#include "storage/lfsx/lfsx.h"
#include "tools/fsck-lfsx/report.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* fsck(8), EXIT STATUS; several conditions are a sum. */
enum exit_status {
    EXIT_CLEAN = 0,
    EXIT_UNCORRECTED = 4,
    EXIT_OPERATIONAL = 8,
    EXIT_USAGE = 16,
    EXIT_CANCELLED = 32,
};

struct arguments {
    const char *path;
    bool repair;
    bool json;
    bool metadata_only;
};

static const char usage[] =
    "Usage: fsck.lfsx [-n|-p|-y] [--metadata-only] [--json] DEVICE\n"
    "Checks the LFSX pool on DEVICE, a disk or an image file that nothing else uses: every\n"
    "superblock, node, tree and bitmap, and the checksum of every data block.\n"
    "\n"
    "  -n                   change nothing; this is what happens in any case\n"
    "  -p, -a               repair what is safe to repair without asking\n"
    "  -y                   repair everything that can be repaired\n"
    "                       This version cannot repair anything yet: with -p, -a and -y it says\n"
    "                       so and exits with 4 when it finds something.\n"
    "  -f                   accepted for fsck(8); the check is always a full one\n"
    "      --metadata-only  do not read data blocks\n"
    "      --json           print one JSON object\n"
    "  -h, --help           show this help\n"
    "\n"
    "Each finding is printed with its permanent number, its name and where it is.\n"
    "Exit status: 0 clean, 4 errors left uncorrected, 8 the check could not be done, 16 wrong\n"
    "usage, 32 cancelled.\n";

/* True if the arguments make sense; *done if the program has nothing else to do. */
static bool parse(int argc, char **argv, struct arguments *arguments, bool *done) {
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"metadata-only", no_argument, NULL, 'm'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int modes[256] = {0};
    int letter;
    while ((letter = getopt_long(argc, argv, "napyfh", options, NULL)) != -1) {
        switch (letter) {
        case 'n':
        case 'a':
        case 'p':
        case 'y':
            modes[letter == 'a' ? 'p' : letter] = 1;
            break;
        case 'f':
            break;
        case 'j':
            arguments->json = true;
            break;
        case 'm':
            arguments->metadata_only = true;
            break;
        case 'h':
            fputs(usage, stdout);
            *done = true;
            return true;
        default:
            return false;
        }
    }
    if (modes['n'] + modes['p'] + modes['y'] > 1) {
        fputs("fsck.lfsx: only one of -n, -p and -y can be given\n", stderr);
        return false;
    }
    arguments->repair = modes['p'] || modes['y'];
    arguments->path = argv[optind];
    return optind == argc - 1;
}

static void on_interrupt(int number) {
    (void)number;
    static const char text[] = "\nfsck.lfsx: cancelled\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(EXIT_CANCELLED);
}

static enum status check(const struct arguments *arguments, struct report *report,
                         struct lfsx_check_summary *summary) {
    struct blockdev *device = NULL;
    enum status status = host_blockdev_open(arguments->path, HOST_BLOCKDEV_READ_ONLY, &device);
    if (status != STATUS_OK)
        return status;
    struct lfsx_check_options options = {.data = !arguments->metadata_only,
                                         .finding = report_finding,
                                         .progress = report_progress,
                                         .context = report};
    status = lfsx_check(device, &options, summary);
    blockdev_close(device);
    return status;
}

int main(int argc, char **argv) {
    host_start("fsck.lfsx");
    struct arguments arguments = {0};
    bool done = false;
    if (!parse(argc, argv, &arguments, &done)) {
        fputs("Usage: fsck.lfsx [-n|-p|-y] [--metadata-only] [--json] DEVICE\n"
              "Try: fsck.lfsx --help\n",
              stderr);
        return EXIT_USAGE;
    }
    if (done)
        return EXIT_CLEAN;
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);

    struct report report = {.path = arguments.path,
                            .json = arguments.json,
                            .show_progress = isatty(STDERR_FILENO) && !arguments.json};
    struct lfsx_check_summary summary = {0};
    report_start(&report);
    enum status status = check(&arguments, &report, &summary);
    int exit_status = (report.findings > 0 ? EXIT_UNCORRECTED : EXIT_CLEAN) |
                      (status != STATUS_OK ? EXIT_OPERATIONAL : EXIT_CLEAN);
    report_end(&report, status, &summary, arguments.repair, exit_status);
    return exit_status;
}
