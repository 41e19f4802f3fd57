/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the server keeps nbd.h's contract inside of a process: it counts, it stops with clients
 * attached, and it lives through every failed allocation.
 */
#include "base/os.h"
#include "host/host.h"
#include "services/nbd/nbd.h"
#include "services/nbd/nbd_proto.h"
#include "storage/lfsx/lfsx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define IMAGE_SIZE (64ll << 20)
#define BLOCK 4096u
#define SECOND 1000000000ull

struct fixture {
    char image[64];
    char address[80];
    struct blockdev *device;
    struct lfsx_pool *pool;
    struct nbd_server *server;
};

static void start_server(struct fixture *fixture) {
    struct listener *listener;
    assert_int_equal(host_listen(fixture->address, &listener), STATUS_OK);
    assert_int_equal(nbd_server_start(fixture->pool, listener, NULL, &fixture->server), STATUS_OK);
}

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    snprintf(fixture->image, sizeof fixture->image, "/tmp/holdfast-nbd-server-XXXXXX");
    int fd = mkstemp(fixture->image);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, IMAGE_SIZE), 0);
    close(fd);
    snprintf(fixture->address, sizeof fixture->address, "unix:%s.socket", fixture->image);
    struct lfsx_new_volume volume = {.name = "demo", .size = 8 << 20};
    struct lfsx_format_options format = {.label = "", .volumes = &volume, .volume_count = 1};
    assert_int_equal(host_blockdev_open(fixture->image, 0, &fixture->device), STATUS_OK);
    assert_int_equal(lfsx_format(fixture->device, &format), STATUS_OK);
    assert_int_equal(lfsx_pool_open(fixture->device, NULL, &fixture->pool), STATUS_OK);
    start_server(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    if (fixture->server != NULL)
        nbd_server_stop(fixture->server);
    assert_int_equal(lfsx_pool_close(fixture->pool), STATUS_OK);
    blockdev_close(fixture->device);
    unlink(fixture->image);
    free(fixture);
    return 0;
}

/* ---- a client that stops at the first thing that does not go well ---- */

static bool send_bytes(int fd, const void *data, size_t length) {
    return send(fd, data, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static bool receive_bytes(int fd, void *data, size_t length) {
    return recv(fd, data, length, MSG_WAITALL) == (ssize_t)length;
}

static int dial(const struct fixture *fixture) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 20};
    snprintf(name.sun_path, sizeof name.sun_path, "%s", fixture->address + strlen("unix:"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    return fd;
}

/* Chooses "demo" by NBD_OPT_EXPORT_NAME. */
static bool negotiate(int fd) {
    struct nbd_greeting greeting;
    be32 flags = be32_make(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    struct nbd_option option = {.magic = be64_make(NBD_OPTION_MAGIC),
                                .option = be32_make(NBD_OPT_EXPORT_NAME),
                                .length = be32_make(4)};
    char reply[10];
    return receive_bytes(fd, &greeting, sizeof greeting) && send_bytes(fd, &flags, sizeof flags) &&
           send_bytes(fd, &option, sizeof option) && send_bytes(fd, "demo", 4) &&
           receive_bytes(fd, reply, sizeof reply);
}

static bool send_request(int fd, uint16_t type, uint64_t offset, uint32_t length) {
    struct nbd_wire_request request = {.magic = be32_make(NBD_REQUEST_MAGIC),
                                       .type = be16_make(type),
                                       .cookie = be64_make(offset),
                                       .offset = be64_make(offset),
                                       .length = be32_make(length)};
    return send_bytes(fd, &request, sizeof request);
}

/* -1: no reply came. */
static int64_t receive_reply(int fd) {
    struct nbd_simple_reply reply;
    if (!receive_bytes(fd, &reply, sizeof reply))
        return -1;
    assert_int_equal(be32_get(reply.magic), NBD_SIMPLE_REPLY_MAGIC);
    return be32_get(reply.error);
}

static int64_t write_block(int fd, uint64_t offset, unsigned char byte) {
    unsigned char block[BLOCK];
    memset(block, byte, sizeof block);
    if (!send_request(fd, NBD_CMD_WRITE, offset, BLOCK) || !send_bytes(fd, block, BLOCK))
        return -1;
    return receive_reply(fd);
}

static int64_t read_block(int fd, uint64_t offset, unsigned char wanted) {
    unsigned char block[BLOCK], expected[BLOCK];
    if (!send_request(fd, NBD_CMD_READ, offset, BLOCK))
        return -1;
    int64_t error = receive_reply(fd);
    if (error != 0)
        return error;
    if (!receive_bytes(fd, block, BLOCK))
        return -1;
    memset(expected, wanted, BLOCK);
    assert_memory_equal(block, expected, BLOCK);
    return 0;
}

/* ---- tests ---- */

/* The statistics tell what happened. */
static void counts_what_happens(void **state) {
    struct fixture *fixture = *state;
    struct nbd_statistics before, during, after;
    nbd_server_statistics(fixture->server, &before);
    assert_int_equal(before.connections_total, 0);
    int fd = dial(fixture);
    assert_true(negotiate(fd));
    assert_int_equal(write_block(fd, 0, 1), 0);
    assert_int_equal(write_block(fd, BLOCK, 2), 0);
    assert_int_equal(read_block(fd, 0, 1), 0);
    assert_int_equal(write_block(fd, 1ull << 40, 1), NBD_ENOSPC);
    nbd_server_statistics(fixture->server, &during);
    assert_int_equal(during.connections_now, 1);
    assert_int_equal(during.connections_total, 1);
    assert_int_equal(during.requests, 4);
    assert_int_equal(during.errors, 1);
    assert_int_equal(during.bytes_written, 2 * BLOCK);
    assert_int_equal(during.bytes_read, BLOCK);
    close(fd);
    do
        nbd_server_statistics(fixture->server, &after);
    while (after.connections_now != 0);
    assert_int_equal(after.connections_total, 1);
}

/* A stop with clients attached leaves no volume open and answers nobody any more; the next server
 * on the same pool serves. */
static void stops_with_clients_attached(void **state) {
    struct fixture *fixture = *state;
    int stranger = dial(fixture);
    int client = dial(fixture);
    assert_true(negotiate(client));
    assert_int_equal(write_block(client, 0, 7), 0);
    uint64_t begin = os_now_ns();
    nbd_server_stop(fixture->server);
    fixture->server = NULL;
    assert_true(os_now_ns() - begin < 20 * SECOND);
    char byte;
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    close(client);
    close(stranger);
    struct lfsx_volume *volume;
    struct lfsx_volume_info info;
    assert_int_equal(lfsx_volume_open(fixture->pool, "demo", &volume), STATUS_OK);
    lfsx_volume_info(volume, &info);
    assert_int_equal(info.open_count, 1);
    lfsx_volume_close(volume);
    start_server(fixture);
    client = dial(fixture);
    assert_true(negotiate(client));
    assert_int_equal(read_block(client, 0, 7), 0);
    close(client);
}

/* A client that takes no reply holds a stop up for its 5 seconds and no longer. */
static void stop_cuts_off_a_deaf_client(void **state) {
    struct fixture *fixture = *state;
    int fd = dial(fixture);
    assert_true(negotiate(fd));
    for (uint64_t i = 0; i < 40; i++)
        assert_true(send_request(fd, NBD_CMD_READ, 0, 4 << 20));
    os_sleep_ns(SECOND / 10);
    uint64_t begin = os_now_ns();
    nbd_server_stop(fixture->server);
    fixture->server = NULL;
    uint64_t took = os_now_ns() - begin;
    assert_true(took > 4 * SECOND && took < 8 * SECOND);
    close(fd);
}

/* A whole session; false as soon as the server has no memory for it. */
static bool session(struct fixture *fixture, uint64_t fail_after, bool forever) {
    int fd = dial(fixture);
    host_memory_fail(fail_after, forever);
    bool good = negotiate(fd);
    good = good && write_block(fd, 0, 1) == 0;
    good = good && write_block(fd, BLOCK, 2) == 0;
    good = good && read_block(fd, 0, 1) == 0;
    good = good && send_request(fd, NBD_CMD_TRIM, BLOCK, BLOCK) && receive_reply(fd) == 0;
    good = good && send_request(fd, NBD_CMD_FLUSH, 0, 0) && receive_reply(fd) == 0;
    host_memory_fail(HOST_MEMORY_FAIL_NEVER, false);
    close(fd);
    return good;
}

/* Whichever allocation fails, alone or with all that follow, the client gets an error or an end,
 * and the next client is served in full. */
static void lives_without_memory(void **state) {
    struct fixture *fixture = *state;
    for (unsigned forever = 0; forever < 2; forever++) {
        unsigned failed = 0;
        unsigned unharmed = 0; /* in a row: one failure alone may be got over unseen */
        for (uint64_t k = 0; unharmed < 20; k++) {
            bool good = session(fixture, k, forever != 0);
            unharmed = good ? unharmed + 1 : 0;
            failed += !good;
            assert_true(session(fixture, HOST_MEMORY_FAIL_NEVER, false));
            assert_true(k < 2000);
        }
        print_message("%s: %u sessions failed\n", forever ? "from then on" : "once", failed);
        assert_true(failed > 3);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(counts_what_happens),
        TEST(stops_with_clients_attached),
        TEST(stop_cuts_off_a_deaf_client),
        TEST(lives_without_memory),
    };
    host_start("server");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
