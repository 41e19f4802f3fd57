/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mkfs.lfsx: makes an LFSX pool on a disk or image. Reads its arguments, makes sure that nothing is
 * lost by mistake, then calls lfsx_format().
 *
 * Exit status as mkfs(8): 0 done, 1 not done.
 */
#include "base/format.h"
#include "host/host.h"
#include "storage/lfsx/lfsx.h"
#include "tools/text/size.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct arguments {
    const char *path;
    const char *label;
    bool force;
    uint64_t image_size; /* 0: the device as it is */
    struct lfsx_new_volume *volumes;
    uint32_t volume_count;
};

static const char usage[] =
    "Usage: mkfs.lfsx [-L LABEL] [-f] [--volume NAME=SIZE]... [--size SIZE] DEVICE\n"
    "Makes an LFSX pool on DEVICE, a disk or an image file.\n"
    "\n"
    "  -L, --label LABEL       name the pool\n"
    "  -f, --force             overwrite what the device holds\n"
    "      --volume NAME=SIZE  make a thin volume in the pool (repeatable)\n"
    "      --size SIZE         make DEVICE an image file of this size, or let it grow to it\n"
    "  -h, --help              show this help\n"
    "\n"
    "SIZE is a number of bytes with an optional K, M, G, T, P or E (powers of 1024).\n"
    "Exit status: 0 the pool was made, 1 it was not.\n"
    "\n"
    "Example: mkfs.lfsx --size 4G --volume demo=1G pool.img\n";

#define COMPLAIN(...) (fprintf(stderr, "mkfs.lfsx: " __VA_ARGS__), fputc('\n', stderr))

/* Takes "NAME=SIZE" apart; a name may hold '=' itself. The text is changed and kept. */
static bool add_volume(struct arguments *arguments, char *text) {
    char *equals = strrchr(text, '=');
    uint64_t size = 0;
    if (equals == NULL || !size_parse(equals + 1, &size)) {
        COMPLAIN("--volume %s: write it as NAME=SIZE, for example --volume demo=1G", text);
        return false;
    }
    *equals = '\0';
    if (!lfsx_name_is_valid(text, strlen(text))) {
        COMPLAIN("--volume %s: a name is 1 to %u bytes of UTF-8 without '/' and control characters",
                 text, LFSX_NAME_MAX);
        return false;
    }
    if (size == 0 || size % 512 != 0 || size > LFSX_VOLUME_SIZE_MAX) {
        COMPLAIN("--volume %s: the size must be a positive multiple of 512 bytes, at most 4E",
                 text);
        return false;
    }
    for (uint32_t i = 0; i < arguments->volume_count; i++) {
        if (strcmp(arguments->volumes[i].name, text) == 0) {
            COMPLAIN("--volume %s: this name is given twice", text);
            return false;
        }
    }
    arguments->volumes[arguments->volume_count++] = (struct lfsx_new_volume){text, size};
    return true;
}

static bool set_label(struct arguments *arguments, const char *label) {
    if (strlen(label) > LFSX_LABEL_MAX) {
        COMPLAIN("-L: a label has at most %u bytes", LFSX_LABEL_MAX);
        return false;
    }
    arguments->label = label;
    return true;
}

static bool set_image_size(struct arguments *arguments, const char *text) {
    if (size_parse(text, &arguments->image_size) && arguments->image_size != 0)
        return true;
    COMPLAIN("--size %s: this is not a size; write it like 512M or 4G", text);
    return false;
}

static bool parse(int argc, char **argv, struct arguments *arguments) {
    static const struct option options[] = {
        {"label", required_argument, NULL, 'L'},  {"force", no_argument, NULL, 'f'},
        {"volume", required_argument, NULL, 'v'}, {"size", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    bool good = true;
    int letter;
    while (good && (letter = getopt_long(argc, argv, "L:fh", options, NULL)) != -1) {
        switch (letter) {
        case 'L':
            good = set_label(arguments, optarg);
            break;
        case 'f':
            arguments->force = true;
            break;
        case 'v':
            good = add_volume(arguments, optarg);
            break;
        case 's':
            good = set_image_size(arguments, optarg);
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs("Try: mkfs.lfsx --help\n", stderr);
            return false;
        }
    }
    if (good && optind == argc) {
        COMPLAIN("which device? Try: mkfs.lfsx --help");
        return false;
    }
    if (good && optind < argc - 1) {
        COMPLAIN("%s: only one device at a time", argv[optind + 1]);
        return false;
    }
    arguments->path = argv[optind];
    return good;
}

static bool open_device(const char *path, uint32_t flags, struct blockdev **device) {
    enum status status = host_blockdev_open(path, flags, device);
    switch (status) {
    case STATUS_OK:
        return true;
    case STATUS_NOT_FOUND:
        COMPLAIN("%s does not exist. To make an image file add --size, for example --size 4G",
                 path);
        return false;
    case STATUS_BUSY:
        COMPLAIN("%s is in use: it is mounted or another program works on it", path);
        return false;
    default:
        COMPLAIN("cannot open %s: %s", path, status_text(status));
        return false;
    }
}

/* True if nothing worth keeping is on the device. */
static bool is_free_to_use(struct blockdev *device, const char *path) {
    struct lfsx_label label;
    enum status status = lfsx_probe(device, &label);
    if (status == STATUS_OK || status == STATUS_VERSION) {
        COMPLAIN("%s holds an LFSX pool%s%s; -f overwrites it", path,
                 label.label[0] ? " named " : "", label.label);
        return false;
    }
    if (status != STATUS_NOT_LFSX) {
        COMPLAIN("cannot read %s: %s; -f goes on all the same", path, status_text(status));
        return false;
    }
    const char *what = NULL;
    status = lfsx_foreign(device, &what);
    if (status == STATUS_NOT_FOUND)
        return true;
    if (status == STATUS_OK)
        COMPLAIN("%s holds %s; -f overwrites it", path, what);
    else
        COMPLAIN("cannot read %s: %s; -f goes on all the same", path, status_text(status));
    return false;
}

static bool check_before_overwriting(const char *path) {
    struct blockdev *device = NULL;
    if (!open_device(path, HOST_BLOCKDEV_READ_ONLY, &device))
        return false;
    bool is_free = is_free_to_use(device, path);
    blockdev_close(device);
    return is_free;
}

/* Gives the image file its size. *created tells whether it was not there before. */
static bool make_image(const struct arguments *arguments, bool *created) {
    int file = open(arguments->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    *created = file >= 0;
    if (file < 0 && errno == EEXIST)
        file = open(arguments->path, O_RDWR | O_CLOEXEC);
    struct stat about;
    bool good = false;
    if (file < 0 || fstat(file, &about) != 0)
        COMPLAIN("%s: %s", arguments->path, strerror(errno));
    else if (!S_ISREG(about.st_mode))
        COMPLAIN("%s is not a file: --size is for image files", arguments->path);
    else if ((uint64_t)about.st_size > arguments->image_size)
        COMPLAIN("%s is larger than --size says, and is not cut", arguments->path);
    else if (arguments->image_size > INT64_MAX ||
             ftruncate(file, (off_t)arguments->image_size) != 0)
        COMPLAIN("%s: cannot give it this size: %s", arguments->path, strerror(errno));
    else
        good = true;
    if (file >= 0)
        close(file);
    return good;
}

static bool format(const struct arguments *arguments) {
    struct blockdev *device = NULL;
    if (!open_device(arguments->path, 0, &device))
        return false;
    struct lfsx_format_options options = {.label = arguments->label,
                                          .volumes = arguments->volumes,
                                          .volume_count = arguments->volume_count};
    enum status status = lfsx_format(device, &options);
    char size[FORMAT_BYTES_SIZE];
    format_bytes(size, device->size);
    blockdev_close(device);
    if (status != STATUS_OK) {
        COMPLAIN("no pool was made on %s: %s", arguments->path, status_text(status));
        return false;
    }
    printf("%s: LFSX pool%s%s, %s\n", arguments->path, arguments->label[0] ? " " : "",
           arguments->label, size);
    for (uint32_t i = 0; i < arguments->volume_count; i++)
        printf("  volume %s, %s\n", arguments->volumes[i].name,
               format_bytes(size, arguments->volumes[i].size));
    return true;
}

static bool make_pool(const struct arguments *arguments) {
    bool exists = access(arguments->path, F_OK) == 0;
    if (!arguments->force && (exists || arguments->image_size == 0) &&
        !check_before_overwriting(arguments->path))
        return false;
    bool created = false;
    bool good = arguments->image_size == 0 || make_image(arguments, &created);
    good = good && format(arguments);
    if (!good && created)
        unlink(arguments->path);
    return good;
}

int main(int argc, char **argv) {
    host_start("mkfs.lfsx");
    struct arguments arguments = {.label = ""};
    arguments.volumes = calloc((size_t)argc, sizeof *arguments.volumes);
    if (arguments.volumes == NULL) {
        COMPLAIN("%s", status_text(STATUS_NO_MEMORY));
        return 1;
    }
    bool good = parse(argc, argv, &arguments) && make_pool(&arguments);
    free(arguments.volumes);
    return good ? 0 : 1;
}
