/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NBD server with a client that says anything. Input: how much a read of the stream gives at
 * most (1), then pieces of what the client sends: a kind (1) and what it needs. Well-formed headers
 * are made here, so that short inputs get past them.
 *
 * The stream is no socket: it gives what the input says and then ends, and swallows replies.
 */
#include "base/os.h"
#include "services/nbd/nbd.h"
#include "services/nbd/nbd_proto.h"
#include "storage/lfsx/lfsx.h"
#include "storage/lfsx/lfsx_format.h"
#include "tests/fuzz/fuzz.h"

#define DISK_BYTES ((uint64_t)DISK_MIN_DEVICE_BLOCKS * DISK_BLOCK_SIZE)
#define VOLUME_BYTES (1ull << 20)
#define SCRIPT_MAX (1u << 20)

/* Server and client ends in one; `lock` guards what is below it. */
struct client {
    struct stream stream;
    struct listener listener;
    unsigned char script[SCRIPT_MAX];
    size_t length, at;
    size_t piece; /* bytes that one read gives at most */
    uint64_t replied;
    struct os_mutex lock;
    struct os_condition changed;
    bool accepted, aborted, closed;
    bool listener_aborted;
};

static struct client client;

static enum status client_read(struct stream *stream, void *buffer, size_t size, size_t *got) {
    (void)stream;
    os_mutex_lock(&client.lock);
    bool aborted = client.aborted;
    os_mutex_unlock(&client.lock);
    if (aborted)
        return STATUS_CLOSED;
    *got = MATH_MIN(MATH_MIN(size, client.piece), client.length - client.at);
    memcpy(buffer, client.script + client.at, *got);
    client.at += *got;
    return STATUS_OK;
}

static enum status client_write(struct stream *stream, const struct span *spans, uint32_t count) {
    (void)stream;
    static volatile unsigned char sum; /* of all bytes, so that the sanitizer sees them read */
    os_mutex_lock(&client.lock);
    for (uint32_t i = 0; i < count; i++) {
        for (size_t j = 0; j < spans[i].length; j += 64)
            sum = (unsigned char)(sum + ((const unsigned char *)spans[i].base)[j]);
        client.replied += spans[i].length;
    }
    bool aborted = client.aborted;
    os_mutex_unlock(&client.lock);
    return aborted ? STATUS_CLOSED : STATUS_OK;
}

static void client_set_timeout(struct stream *stream, uint64_t nanoseconds) {
    (void)stream;
    (void)nanoseconds;
}

static void client_set(bool *flag) {
    os_mutex_lock(&client.lock);
    *flag = true;
    os_condition_broadcast(&client.changed);
    os_mutex_unlock(&client.lock);
}

static void client_abort(struct stream *stream) {
    (void)stream;
    client_set(&client.aborted);
}

static void client_close(struct stream *stream) {
    (void)stream;
    client_set(&client.closed);
}

static enum status listener_take(struct listener *listener, struct stream **stream) {
    (void)listener;
    os_mutex_lock(&client.lock);
    bool first = !client.accepted;
    client.accepted = true;
    while (!first && !client.listener_aborted)
        os_condition_wait(&client.changed, &client.lock, OS_FOREVER);
    os_mutex_unlock(&client.lock);
    *stream = &client.stream;
    return first ? STATUS_OK : STATUS_CLOSED;
}

static void listener_stop(struct listener *listener) {
    (void)listener;
    client_set(&client.listener_aborted);
}

static void listener_end(struct listener *listener) {
    (void)listener;
}

static void say(const void *bytes, size_t length) {
    length = MATH_MIN(length, SCRIPT_MAX - client.length);
    memcpy(client.script + client.length, bytes, length);
    client.length += length;
}

static void say_from(struct input *input, uint64_t length) {
    length = MATH_MIN(length, input->left);
    say(input->at, length);
    input->at += length;
    input->left -= length;
}

static void say_option(struct input *input) {
    uint32_t option = (uint32_t)input_take(input, 1);
    uint32_t length = (uint32_t)input_take(input, 2);
    struct nbd_option header = {.magic = be64_make(NBD_OPTION_MAGIC),
                                .option = be32_make(option),
                                .length = be32_make(length)};
    say(&header, sizeof header);
    say_from(input, input_take(input, 1));
}

/* The option that begins the transmission phase. */
static void say_go(struct input *input) {
    unsigned char payload[12] = {0, 0, 0, 6, 'v', 'o', 'l', 'u', 'm', 'e', 0, 0};
    bool old = input_take(input, 1) % 2 != 0;
    struct nbd_option header = {.magic = be64_make(NBD_OPTION_MAGIC),
                                .option = be32_make(old ? NBD_OPT_EXPORT_NAME : NBD_OPT_GO),
                                .length = be32_make(old ? 6 : sizeof payload)};
    say(&header, sizeof header);
    if (old)
        say(payload + 4, 6);
    else
        say(payload, sizeof payload);
}

static void say_request(struct input *input, bool with_payload) {
    struct nbd_wire_request request = {.magic = be32_make(NBD_REQUEST_MAGIC)};
    request.type = be16_make((uint16_t)(input_take(input, 1) % 12));
    request.flags = be16_make((uint16_t)input_take(input, 1));
    request.offset = be64_make(input_take(input, 3));
    uint32_t length = (uint32_t)input_take(input, 3);
    request.length = be32_make(length);
    say(&request, sizeof request);
    static const unsigned char payload[1 << 16];
    for (; with_payload && length > 0; length -= MATH_MIN(length, sizeof payload))
        say(payload, MATH_MIN(length, sizeof payload));
}

static void write_script(struct input *input) {
    client.piece = 1 + input_take(input, 1) * input_take(input, 1);
    while (input->left > 0) {
        be32 flags = be32_make(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
        switch (input_take(input, 1) % 6) {
        case 0:
            say_from(input, input_take(input, 1));
            break;
        case 1:
            say(&flags, sizeof flags);
            break;
        case 2:
            say_option(input);
            break;
        case 3:
            say_go(input);
            break;
        default:
            say_request(input, input_take(input, 1) % 2 != 0);
            break;
        }
    }
}

static struct ramdisk *make_disk(void) {
    static struct ramdisk *made;
    fuzz_random_restart();
    if (made == NULL) {
        struct lfsx_new_volume volume = {"volume", VOLUME_BYTES};
        struct lfsx_format_options options = {
            .label = "fuzz", .volumes = &volume, .volume_count = 1};
        made = ramdisk_create(DISK_BYTES);
        REQUIRE(lfsx_format(&made->device, &options) == STATUS_OK);
    }
    return fuzz_disk(made->content, DISK_BYTES);
}

static void serve(struct lfsx_pool *pool) {
    static const struct stream_operations stream_operations = {.read = client_read,
                                                               .write = client_write,
                                                               .set_timeout = client_set_timeout,
                                                               .abort = client_abort,
                                                               .close = client_close};
    static const struct listener_operations listener_operations = {
        .accept = listener_take, .abort = listener_stop, .close = listener_end};
    client.stream = (struct stream){.operations = &stream_operations, .peer = "client"};
    client.listener = (struct listener){.operations = &listener_operations, .address = "fuzz"};
    os_mutex_init(&client.lock);
    os_condition_init(&client.changed);
    struct nbd_server *server;
    REQUIRE(nbd_server_start(pool, &client.listener, NULL, &server) == STATUS_OK);
    os_mutex_lock(&client.lock);
    while (!client.closed)
        os_condition_wait(&client.changed, &client.lock, OS_FOREVER);
    os_mutex_unlock(&client.lock);
    struct nbd_statistics statistics;
    nbd_server_statistics(server, &statistics);
    REQUIRE(statistics.connections_total == 1);
    nbd_server_stop(server);
    REQUIRE(client.replied >= sizeof(struct nbd_greeting)); /* at least it said who it is */
    os_condition_destroy(&client.changed);
    os_mutex_destroy(&client.lock);
}

static void no_finding(void *context, const struct lfsx_finding *finding) {
    (void)context;
    fprintf(stderr, "the client damaged the pool: %s\n", finding->text);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct ramdisk *disk = make_disk();
    struct lfsx_pool *pool;
    client.length = client.at = 0;
    client.replied = 0;
    client.accepted = client.aborted = client.closed = client.listener_aborted = false;
    write_script(&input);
    struct lfsx_open_options options = {.cache_bytes = 1};
    REQUIRE(lfsx_pool_open(&disk->device, &options, &pool) == STATUS_OK);
    serve(pool);
    REQUIRE(lfsx_pool_close(pool) == STATUS_OK);
    struct lfsx_check_options check = {.data = true, .finding = no_finding};
    struct lfsx_check_summary summary;
    REQUIRE(lfsx_check(&disk->device, &check, &summary) == STATUS_OK);
    return 0;
}
