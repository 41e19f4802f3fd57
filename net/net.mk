# SPDX-License-Identifier: Apache-2.0
# net/ is compiled against lwIP: for the kernel, and sanitized into a library for its tests.

NET_SOURCES := $(call sources,net)
ASAN_NET_LIBRARY := $(BUILD)/asan/libnet.a

$(NET_SOURCES:%.c=$(BUILD)/asan/%.o) $(NET_SOURCES:%.c=$(BUILD)/kernel/%.o): $(LWIP_FETCHED) \
                                                                          net/net.mk
# Its files include lwIP's headers: see third_party/third_party.mk for the alignment.
$(BUILD)/asan/net/%.o: ASAN_CFLAGS += $(LWIP_CFLAGS) $(LWIP_ASAN)
$(BUILD)/kernel/net/%.o: KERNEL_CFLAGS += $(LWIP_CFLAGS) -isystem net/libc

$(ASAN_NET_LIBRARY): $(NET_SOURCES:%.c=$(BUILD)/asan/%.o) \
                     $(LWIP_SOURCES:%.c=$(BUILD)/asan/third_party/lwip/%.o)
	@rm -f $@ && ar rcs $@ $^
