# SPDX-License-Identifier: Apache-2.0
# What is fetched, once: lwIP, compiled into the kernel and into net/'s tests; and the Linux that
# tests boot as a client.

LWIP := $(BUILD)/third_party/lwip
LWIP_FETCHED := $(LWIP)/.fetched
LWIP_SOURCES := $(addprefix core/,def.c inet_chksum.c init.c ip.c mem.c memp.c netif.c pbuf.c \
                tcp.c tcp_in.c tcp_out.c timeouts.c udp.c) \
                $(addprefix core/ipv4/,dhcp.c etharp.c icmp.c ip4.c ip4_addr.c) \
                api/tcpip.c netif/ethernet.c
LWIP_CFLAGS := -isystem $(LWIP)/src/include -isystem net
# lwIP's use of packed headers at odd addresses is what x86-64 allows.
LWIP_ASAN := -fno-sanitize=alignment

$(LWIP_FETCHED): third_party/lock third_party/fetch.sh
	@third_party/fetch.sh lwip $(BUILD)/third_party

$(BUILD)/asan/third_party/lwip/%.o: $(LWIP_FETCHED) Makefile third_party/third_party.mk
	@mkdir -p $(@D)
	@echo "  CC asan lwip/$*.c"
	@$(CC) $(ASAN_CFLAGS) $(LWIP_CFLAGS) $(LWIP_ASAN) -w -c $(LWIP)/src/$*.c -o $@

$(BUILD)/kernel/third_party/lwip/%.o: $(LWIP_FETCHED) Makefile third_party/third_party.mk \
                                      kernel/kernel.mk
	@mkdir -p $(@D)
	@echo "  CC kern lwip/$*.c"
	@$(CC) $(KERNEL_CFLAGS) $(LWIP_CFLAGS) -isystem net/libc -w -c $(LWIP)/src/$*.c -o $@

GUEST_FETCHED := $(BUILD)/third_party/guest/.fetched

$(GUEST_FETCHED): third_party/packages third_party/unpack.sh
	@third_party/unpack.sh guest $(BUILD)/third_party
