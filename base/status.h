/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one list of what can go wrong in Holdfast.
 *
 * Every function that can fail returns `enum status`; STATUS_OK is zero. A boundary (errno, NBD,
 * HTTP) maps these codes in exactly one function of its own. Add a code here when a caller would
 * act differently on it, or a user should read a different sentence.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

/* X(name, meaning as a user reads it) */
#define STATUS_LIST(X)                                                                             \
    X(OK, "success")                                                                               \
    X(NO_MEMORY, "out of memory")                                                                  \
    X(NO_SPACE, "no space left in the pool")                                                       \
    X(INVALID, "invalid argument")                                                                 \
    X(OUT_OF_RANGE, "outside of the device or volume")                                             \
    X(UNALIGNED, "not aligned to the block size")                                                  \
    X(NOT_FOUND, "not found")                                                                      \
    X(EXISTS, "exists already")                                                                    \
    X(BUSY, "in use")                                                                              \
    X(NOT_DIRECTORY, "not a directory")                                                            \
    X(IS_DIRECTORY, "a directory")                                                                 \
    X(NOT_EMPTY, "directory not empty")                                                            \
    X(UNSUPPORTED, "not supported")                                                                \
    X(READ_ONLY, "read-only")                                                                      \
    X(PERMISSION, "permission denied")                                                             \
    X(IO, "input/output error")                                                                    \
    X(CHECKSUM, "checksum mismatch")                                                               \
    X(CORRUPT, "damaged structure")                                                                \
    X(FOREIGN, "the device holds something else")                                                  \
    X(NOT_LFSX, "no LFSX pool on the device")                                                      \
    X(VERSION, "the format is newer than this program")                                            \
    X(TOO_SMALL, "the device is too small")                                                        \
    X(TIMEOUT, "timed out")                                                                        \
    X(GONE, "the device is gone")                                                                  \
    X(CLOSED, "the connection is closed")                                                          \
    X(PROTOCOL, "the peer broke the protocol")                                                     \
    X(AGAIN, "not available yet, try again")                                                       \
    X(DEADLOCK, "chosen to end a deadlock, try again")                                             \
    X(CONFLICT, "changed by somebody else, try again")                                             \
    X(SHUTDOWN, "shutting down")

enum status {
#define X(name, text) STATUS_##name,
    STATUS_LIST(X)
#undef X
        STATUS_COUNT,
};

/* The meaning of a code as a short English phrase; never NULL. Any context. */
const char *status_text(enum status status);

/* The code's name without its prefix ("NO_SPACE"); never NULL. Any context. */
const char *status_name(enum status status);

#endif
