/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as text: "HOST:PORT", "[V6]:PORT", "unix:PATH". */
#include "host/host_internal.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define UNIX_PREFIX "unix:"

static void print_internet(const struct sockaddr *address, socklen_t length, char *out,
                           size_t size) {
    char host[64];
    char port[8];
    if (getnameinfo(address, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(out, size, "?");
    else if (address->sa_family == AF_INET6)
        snprintf(out, size, "[%s]:%s", host, port);
    else
        snprintf(out, size, "%s:%s", host, port);
}

static void print_unix(const struct sockaddr_un *address, socklen_t length, char *out,
                       size_t size) {
    size_t room = length > offsetof(struct sockaddr_un, sun_path)
                      ? length - offsetof(struct sockaddr_un, sun_path)
                      : 0;
    size_t path = strnlen(address->sun_path, room);
    if (path == 0)
        snprintf(out, size, "unix");
    else
        snprintf(out, size, UNIX_PREFIX "%.*s", (int)path, address->sun_path);
}

void host_address_print(const struct sockaddr *address, unsigned length, char *out, size_t size) {
    if (address->sa_family == AF_UNIX)
        print_unix((const struct sockaddr_un *)address, length, out, size);
    else
        print_internet(address, length, out, size);
}

static enum status parse_unix(const char *path, struct host_address *out) {
    struct sockaddr_un *address = (struct sockaddr_un *)&out->storage;
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof address->sun_path)
        return STATUS_INVALID;
    memset(&out->storage, 0, sizeof out->storage);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length + 1);
    out->length = sizeof *address;
    return STATUS_OK;
}

static enum status resolve(const char *host, const char *port, struct host_address *out) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    switch (getaddrinfo(host, port, &hints, &found)) {
    case 0:
        break;
    case EAI_MEMORY:
        return STATUS_NO_MEMORY;
    case EAI_SERVICE:
        return STATUS_INVALID;
    default:
        return STATUS_NOT_FOUND;
    }
    memcpy(&out->storage, found->ai_addr, found->ai_addrlen);
    out->length = found->ai_addrlen;
    freeaddrinfo(found);
    return STATUS_OK;
}

/* getaddrinfo() takes 65536 for 0. */
static bool port_is_valid(const char *port) {
    unsigned number = 0;
    size_t digits = strspn(port, "0123456789");
    if (digits == 0 || digits > 5 || port[digits] != '\0')
        return false;
    for (size_t i = 0; i < digits; i++)
        number = number * 10 + (unsigned)(port[i] - '0');
    return number <= 65535;
}

enum status host_address_parse(const char *text, struct host_address *out) {
    if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return parse_unix(text + strlen(UNIX_PREFIX), out);
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || !port_is_valid(colon + 1))
        return STATUS_INVALID;
    const char *host = text;
    size_t length = (size_t)(colon - text);
    bool bracketed = text[0] == '[';
    if (bracketed) {
        if (length < 3 || colon[-1] != ']')
            return STATUS_INVALID;
        host++;
        length -= 2;
    }
    char name[NI_MAXHOST];
    if (length >= sizeof name || (!bracketed && memchr(host, ':', length) != NULL))
        return STATUS_INVALID;
    memcpy(name, host, length);
    name[length] = '\0';
    return resolve(name, colon + 1, out);
}
