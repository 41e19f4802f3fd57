/* SPDX-License-Identifier: Apache-2.0 */
/*
 * holdfastd: the appliance as a Linux process. Opens a pool, serves its volumes, and at the end
 * makes everything durable.
 *
 * Invariant: SIGTERM, SIGINT and SIGHUP are blocked in every thread from before the first is
 * started; only main takes them, with sigwait() while it serves, and by dying of them while it
 * stops.
 */
#include "base/format.h"
#include "host/host.h"
#include "services/nbd/nbd.h"
#include "storage/lfsx/lfsx.h"
#include "tools/holdfastd/arguments.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct daemon {
    struct arguments arguments;
    struct blockdev *device;
    struct lfsx_pool *pool;
    struct nbd_server **servers; /* server_count of them */
    unsigned server_count;
};

static void signal_set(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

static void block_signals(void) {
    sigset_t set;
    signal_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* standard output may be a pipe that its reader left */
}

static int wait_for_signal(void) {
    sigset_t set;
    int number;
    signal_set(&set);
    while (sigwait(&set, &number) != 0)
        continue;
    return number;
}

static void die_at_once(int number) {
    (void)number;
    static const char message[] = "holdfastd: ended at once, without a last checkpoint; what was "
                                  "flushed is safe\n";
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
    (void)written;
    _exit(EXIT_FAILED);
}

static void let_signals_kill(void) {
    struct sigaction action = {.sa_handler = die_at_once};
    sigset_t set;
    signal_set(&set);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGHUP, SIG_IGN);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* A connection is a descriptor; the soft limit is made for programs with few. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool open_device(struct daemon *daemon) {
    const char *path = daemon->arguments.device;
    uint32_t flags = daemon->arguments.read_only ? HOST_BLOCKDEV_READ_ONLY : 0;
    enum status status = host_blockdev_open(path, flags, &daemon->device);
    switch (status) {
    case STATUS_OK:
        return true;
    case STATUS_NOT_FOUND:
        COMPLAIN("%s does not exist; mkfs.lfsx makes pools", path);
        return false;
    case STATUS_BUSY:
        COMPLAIN("%s is in use: it is mounted or another program serves it", path);
        return false;
    case STATUS_INVALID:
        COMPLAIN("%s is neither a disk nor a file", path);
        return false;
    default:
        COMPLAIN("cannot open %s: %s", path, status_text(status));
        return false;
    }
}

static bool open_pool(struct daemon *daemon) {
    const char *path = daemon->arguments.device;
    struct lfsx_open_options options = {.flags =
                                            daemon->arguments.read_only ? LFSX_OPEN_READ_ONLY : 0,
                                        .cache_bytes = daemon->arguments.cache_bytes};
    enum status status = lfsx_pool_open(daemon->device, &options, &daemon->pool);
    switch (status) {
    case STATUS_OK:
        return true;
    case STATUS_NOT_LFSX:
        COMPLAIN("%s holds no LFSX pool; mkfs.lfsx makes one", path);
        return false;
    case STATUS_CORRUPT:
    case STATUS_CHECKSUM:
        COMPLAIN("the pool on %s is damaged (%s); fsck.lfsx %s says how", path, status_text(status),
                 path);
        return false;
    case STATUS_READ_ONLY:
        COMPLAIN("%s cannot be written; --read-only serves it all the same", path);
        return false;
    default:
        COMPLAIN("cannot open the pool on %s: %s", path, status_text(status));
        return false;
    }
}

static bool start_server(struct daemon *daemon, const char *address) {
    struct nbd_options options = {.read_only = daemon->arguments.read_only};
    struct listener *listener;
    enum status status = host_listen(address, &listener);
    if (status == STATUS_INVALID) {
        COMPLAIN("--nbd %s: write it as HOST:PORT, [IPV6]:PORT or unix:PATH", address);
        return false;
    }
    if (status != STATUS_OK) {
        COMPLAIN("cannot listen on %s: %s", address, status_text(status));
        return false;
    }
    struct nbd_server **slot = &daemon->servers[daemon->server_count];
    status = nbd_server_start(daemon->pool, listener, &options, slot);
    if (status != STATUS_OK) {
        COMPLAIN("cannot serve on %s: %s", address, status_text(status));
        listener_close(listener);
        return false;
    }
    daemon->server_count++;
    printf("holdfastd: NBD on %s\n", listener->address);
    return true;
}

static bool start_servers(struct daemon *daemon) {
    daemon->servers = calloc(daemon->arguments.address_count, sizeof(struct nbd_server *));
    if (daemon->servers == NULL) {
        COMPLAIN("out of memory");
        return false;
    }
    for (unsigned i = 0; i < daemon->arguments.address_count; i++)
        if (!start_server(daemon, daemon->arguments.addresses[i]))
            return false;
    return true;
}

static bool print_volume(void *context, const struct lfsx_volume_info *info) {
    (void)context;
    char size[FORMAT_BYTES_SIZE];
    if (info->damage != STATUS_OK)
        printf("holdfastd: volume \"%s\" is damaged and not served; fsck.lfsx repairs it\n",
               info->name);
    else
        printf("holdfastd: volume \"%s\", %s\n", info->name, format_bytes(size, info->size));
    return true;
}

static bool print_volumes(struct daemon *daemon) {
    enum status status = lfsx_volume_list(daemon->pool, print_volume, NULL);
    if (status != STATUS_OK)
        COMPLAIN("cannot list the volumes: %s", status_text(status));
    return status == STATUS_OK;
}

static void stop_servers(struct daemon *daemon) {
    struct nbd_statistics sum = {.requests = 0};
    for (unsigned i = 0; i < daemon->server_count; i++) {
        struct nbd_statistics one;
        nbd_server_statistics(daemon->servers[i], &one);
        nbd_server_stop(daemon->servers[i]);
        sum.connections_total += one.connections_total;
        sum.requests += one.requests;
        sum.errors += one.errors;
    }
    log_info("nbd", "served %llu connections and %llu requests, %llu of them with an error",
             (unsigned long long)sum.connections_total, (unsigned long long)sum.requests,
             (unsigned long long)sum.errors);
    free(daemon->servers);
}

/* True if everything that was acknowledged is durable. */
static bool close_pool(struct daemon *daemon) {
    enum status status = lfsx_pool_close(daemon->pool);
    if (status != STATUS_OK)
        COMPLAIN("not everything could be made durable: %s; fsck.lfsx %s looks for damage",
                 status_text(status), daemon->arguments.device);
    return status == STATUS_OK;
}

/* The device may have become larger. */
static void grow_pool(struct daemon *daemon) {
    enum status status = lfsx_pool_grow(daemon->pool);
    struct lfsx_pool_info info;
    lfsx_pool_info(daemon->pool, &info);
    char size[FORMAT_BYTES_SIZE];
    if (status == STATUS_OK)
        printf("holdfastd: the pool has %s\n", format_bytes(size, info.size_bytes));
    else
        COMPLAIN("the pool on %s could not grow: %s", daemon->arguments.device,
                 status_text(status));
    fflush(stdout);
}

static bool serve(struct daemon *daemon) {
    bool good = print_volumes(daemon) && start_servers(daemon);
    if (good) {
        puts("holdfastd: ready");
        fflush(stdout);
        while (wait_for_signal() == SIGHUP)
            grow_pool(daemon);
    }
    let_signals_kill();
    stop_servers(daemon);
    return good;
}

int main(int argc, char **argv) {
    struct daemon daemon = {.server_count = 0};
    bool good = false;
    arguments_parse(argc, argv, &daemon.arguments);
    block_signals();
    raise_descriptor_limit();
    host_start("holdfastd");
    if (open_device(&daemon)) {
        if (open_pool(&daemon)) {
            good = serve(&daemon);
            good = close_pool(&daemon) && good;
        }
        blockdev_close(daemon.device);
    }
    free(daemon.arguments.addresses);
    return good ? EXIT_DONE : EXIT_FAILED;
}
