/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck.lfsx: checks an LFSX pool, repairs it, lets it grow. Reads its arguments, runs lfsx_check(),
 * lfsx_repair() or lfsx_print(), maybe lfsx_pool_grow(), reports. Without -p, -y or --grow it never
 * writes to the device.
 */
#include "host/host.h"
#include "storage/lfsx/lfsx.h"
#include "storage/lfsx/lfsx_print.h"
#include "tools/fsck-lfsx/limit.h"
#include "tools/fsck-lfsx/report.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* fsck(8), EXIT STATUS; several conditions are a sum. */
enum exit_status {
    EXIT_CLEAN = 0,
    EXIT_CORRECTED = 1,
    EXIT_UNCORRECTED = 4,
    EXIT_OPERATIONAL = 8,
    EXIT_USAGE = 16,
    EXIT_CANCELLED = 32,
};

struct arguments {
    const char *path;
    bool repair, all, grow;
    struct limit limit;
    bool json;
    bool metadata_only;
    char *dump; /* what to print; NULL: nothing */
};

static const char usage[] =
    "Usage: fsck.lfsx [-n|-p|-y] [--grow] [--metadata-only] [--memory MIB [--scratch DIR]]\n"
    "                 [--json] DEVICE\n"
    "       fsck.lfsx --dump WHAT DEVICE\n"
    "Checks the LFSX pool on DEVICE, a disk or an image file that nothing else uses: every\n"
    "superblock, node, tree and bitmap, and the checksum of every data block.\n"
    "\n"
    "  -n                   change nothing; this is the default\n"
    "  -p, -a               repair what is safe: labels and superblocks from their copies, the\n"
    "                       allocation maps from whole trees\n"
    "  -y                   repair all that can be repaired, give up what cannot be read, and say\n"
    "                       what is lost, by volume or file and bytes\n"
    "      --grow           if the pool is clean, let it use all of a DEVICE that became larger\n"
    "      --memory MIB     use no more for what grows with the pool; what is beyond goes to a\n"
    "                       scratch file, which has no name and is gone at the end\n"
    "      --scratch DIR    make that in DIR, not on DEVICE and not in memory; else it is in\n"
    "                       $TMPDIR or /var/tmp\n"
    "  -f                   accepted for fsck(8); the check is always a full one\n"
    "      --metadata-only  do not read data blocks\n"
    "      --json           print one JSON object\n"
    "      --dump WHAT      print what stands on DEVICE, and check nothing. WHAT is label,\n"
    "                       superblocks, 'superblock CHECKPOINT', map, 'node BLOCK', tree (the\n"
    "                       catalog's), 'tree VOLUME' or 'tree VOLUME@SNAPSHOT', 'dataset "
    "VOLUME',\n"
    "                       snapshots, dead or journal\n"
    "  -h, --help           show this help\n"
    "\n"
    "Each finding is printed with its permanent number, its name and where it is.\n"
    "Exit status: 0 clean, 1 errors corrected, 4 errors left uncorrected, 8 the check could not be "
    "done, 16 wrong\n"
    "usage, 32 cancelled.\n";

static bool parse_memory(const char *text, uint64_t *bytes) {
    char *end;
    unsigned long long mib = strtoull(text, &end, 10);
    *bytes = (uint64_t)mib << 20;
    return *text >= '0' && *text <= '9' && *end == '\0' && mib > 0 && mib < 1ull << 40;
}

/* True if the arguments make sense; *done if the program has nothing else to do. */
static bool parse(int argc, char **argv, struct arguments *arguments, bool *done) {
    static const struct option options[] = {
        {"dump", required_argument, NULL, 'D'},    {"json", no_argument, NULL, 'j'},
        {"grow", no_argument, NULL, 'G'},          {"memory", required_argument, NULL, 'M'},
        {"scratch", required_argument, NULL, 'S'}, {"metadata-only", no_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
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
        case 'D':
            arguments->dump = optarg;
            break;
        case 'G':
            arguments->grow = true;
            break;
        case 'M':
            if (!parse_memory(optarg, &arguments->limit.memory))
                return false;
            break;
        case 'S':
            arguments->limit.directory = optarg;
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
    if (arguments->grow && (modes['n'] || arguments->dump != NULL)) {
        fputs("fsck.lfsx: -n and --dump change nothing, --grow does\n", stderr);
        return false;
    }
    if (arguments->limit.directory != NULL && arguments->limit.memory == 0) {
        fputs("fsck.lfsx: --scratch goes with --memory\n", stderr);
        return false;
    }
    if (modes['n'] + modes['p'] + modes['y'] > 1) {
        fputs("fsck.lfsx: only one of -n, -p and -y can be given\n", stderr);
        return false;
    }
    if (arguments->dump != NULL && (modes['p'] || modes['y'] || arguments->json)) {
        fputs("fsck.lfsx: --dump goes with none of -p, -y and --json\n", stderr);
        return false;
    }
    arguments->all = modes['y'];
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
                                         .memory_bytes = arguments->limit.memory,
                                         .scratch = arguments->limit.scratch,
                                         .finding = report_finding,
                                         .progress = report_progress,
                                         .context = report};
    status = lfsx_check(device, &options, summary);
    blockdev_close(device);
    return status;
}

static enum status repair(const struct arguments *arguments, struct report *report,
                          struct lfsx_repair_summary *summary) {
    struct blockdev *device = NULL;
    enum status status = host_blockdev_open(arguments->path, 0, &device);
    if (status != STATUS_OK)
        return status;
    struct lfsx_repair_options options = {.level =
                                              arguments->all ? LFSX_REPAIR_ALL : LFSX_REPAIR_PREEN,
                                          .data = !arguments->metadata_only,
                                          .memory_bytes = arguments->limit.memory,
                                          .scratch = arguments->limit.scratch,
                                          .finding = report_finding,
                                          .action = report_action,
                                          .loss = report_loss,
                                          .progress = report_progress,
                                          .context = report};
    status = lfsx_repair(device, &options, summary);
    blockdev_close(device);
    return status;
}

static void print_line(void *context, const char *text) {
    (void)context;
    puts(text);
}

/* "WHAT" or "WHAT ARGUMENT". */
static int dump(const struct arguments *arguments) {
    char *argument = strchr(arguments->dump, ' ');
    if (argument != NULL)
        *argument++ = '\0';
    struct blockdev *device = NULL;
    enum status status = host_blockdev_open(arguments->path, HOST_BLOCKDEV_READ_ONLY, &device);
    if (status == STATUS_OK) {
        status = lfsx_print(device, arguments->dump, argument, print_line, NULL);
        blockdev_close(device);
    }
    if (status == STATUS_OK)
        return EXIT_CLEAN;
    fflush(stdout);
    fprintf(stderr, "fsck.lfsx: --dump %s%s%s of %s: %s\n", arguments->dump,
            argument == NULL ? "" : " ", argument == NULL ? "" : argument, arguments->path,
            status_text(status));
    return status == STATUS_INVALID ? EXIT_USAGE : EXIT_OPERATIONAL;
}

/* Bytes of the device that its pool uses. */
static uint64_t pool_size(struct blockdev *device) {
    struct lfsx_label label;
    return lfsx_probe(device, &label) == STATUS_OK ? label.size : 0;
}

static enum status grow(const struct arguments *arguments, struct report *report) {
    struct blockdev *device = NULL;
    struct lfsx_pool *pool = NULL;
    enum status status = host_blockdev_open(arguments->path, 0, &device);
    if (status != STATUS_OK)
        return status;
    report->size_before = pool_size(device);
    status = lfsx_pool_open(device, NULL, &pool);
    if (status == STATUS_OK) {
        status = lfsx_pool_grow(pool);
        enum status closed = lfsx_pool_close(pool);
        status = status == STATUS_OK ? closed : status;
    }
    report->size_after = pool_size(device);
    blockdev_close(device);
    return status;
}

static int exit_status(const struct report *report, enum status status,
                       const struct lfsx_repair_summary *summary, bool repaired) {
    int result = status != STATUS_OK ? EXIT_OPERATIONAL : EXIT_CLEAN;
    if (repaired && summary->actions > 0)
        result |= EXIT_CORRECTED;
    if (repaired ? summary->remaining > 0 : report->findings > 0)
        result |= EXIT_UNCORRECTED;
    return result;
}

static int run(const struct arguments *arguments) {
    struct report report = {.path = arguments->path,
                            .json = arguments->json,
                            .limit = arguments->limit.memory,
                            .show_progress = isatty(STDERR_FILENO) && !arguments->json};
    struct lfsx_repair_summary summary = {0};
    report_start(&report);
    enum status status;
    if (arguments->repair) {
        status = repair(arguments, &report, &summary);
    } else {
        status = check(arguments, &report, &summary.check);
        summary.remaining = summary.check.findings;
    }
    if (arguments->grow && status == STATUS_OK && summary.remaining == 0)
        status = grow(arguments, &report);
    int result = exit_status(&report, status, &summary, arguments->repair);
    report_end(&report, status, &summary, arguments->repair, result);
    limit_explain(&arguments->limit, status);
    return result;
}

int main(int argc, char **argv) {
    host_start("fsck.lfsx");
    struct arguments arguments = {0};
    bool done = false;
    if (!parse(argc, argv, &arguments, &done)) {
        fputs("Usage: fsck.lfsx [-n|-p|-y] [--grow] [--metadata-only] [--memory MIB [--scratch "
              "DIR]]\n"
              "                 [--json] DEVICE\n"
              "Try: fsck.lfsx --help\n",
              stderr);
        return EXIT_USAGE;
    }
    if (done)
        return EXIT_CLEAN;
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);

    if (arguments.dump != NULL)
        return dump(&arguments);
    if (!limit_open(&arguments.limit))
        return EXIT_OPERATIONAL;
    int result = run(&arguments);
    limit_close(&arguments.limit);
    return result;
}
