/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How lwIP is built for Holdfast (lwIP's lwip/opt.h explains each option). IPv4, TCP and what they
 * need; called by net/ under one core lock; all memory from os_alloc, so that the machine's memory
 * and not a table's size limits connections.
 */
#ifndef NET_LWIPOPTS_H
#define NET_LWIPOPTS_H

/* System: threads from base/os.h, one lock over the core. Frames come in under that lock too, and
 * every pbuf that is shared is touched only under it, so pbufs need no protection of their own. */
#define NO_SYS 0
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_TCPIP_CORE_LOCKING 1
#define LWIP_TCPIP_CORE_LOCKING_INPUT 1
#define LWIP_ASSERT_CORE_LOCKED() net_assert_core_locked()
#define TCPIP_THREAD_NAME "net-timers"
#define TCPIP_MBOX_SIZE NET_MAILBOX_SIZE
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_STATS 0

/* Memory. */
#define MEM_CUSTOM_ALLOCATOR 1
#define MEM_CUSTOM_MALLOC os_alloc
#define MEM_CUSTOM_CALLOC net_calloc
#define MEM_CUSTOM_FREE os_free
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8
#define LWIP_SUPPORT_CUSTOM_PBUF 1

/* Link and IP. A storage server neither reassembles fragments nor follows IP options: TCP never
 * needs them and attacks do. The ARP table is a cache: its size limits no number of peers. */
#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 1
#define ARP_TABLE_SIZE 127
#define ARP_QUEUEING 1
#define IP_REASSEMBLY 0
#define IP_FRAG 0
#define IP_FORWARD 0
#define IP_OPTIONS_ALLOWED 0
#define LWIP_ICMP 1
#define LWIP_RAW 0
#define LWIP_UDP 1
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_HAVE_LOOPIF 0
#define LWIP_NETIF_STATUS_CALLBACK 1
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHKSUM_ALGORITHM 3

/* DHCP. The probe whether somebody else has the address would cost seconds of every start. */
#define LWIP_DHCP 1
#define LWIP_ACD 0
#define LWIP_DHCP_DOES_ACD_CHECK 0
#define LWIP_DHCP_BOOTP_FILE 0
#define LWIP_DHCP_GET_NTP_SRV 0
#define LWIP_DHCP_PROVIDE_DNS_SERVERS 0
#define LWIP_DNS 0
#define LWIP_AUTOIP 0
#define LWIP_IGMP 0

/* TCP. net/stream_tcp.c opens the receive window step by step up to TCP_WND. */
#define LWIP_TCP 1
#define LWIP_CALLBACK_API 1
#define LWIP_TCP_PCB_NUM_EXT_ARGS 1
#define TCP_MSS 1460
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 5
#define TCP_WND (1024 * 1024)
#define TCP_SND_BUF (1024 * 1024)
#define TCP_SND_QUEUELEN 8192
#define TCP_SNDLOWAT 32768 /* for sockets, which are off; lwIP checks it all the same */
#define TCP_SNDQUEUELOWAT (TCP_SND_QUEUELEN / 2)
#define TCP_WND_UPDATE_THRESHOLD (16 * TCP_MSS)
#define TCP_OVERSIZE TCP_MSS
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_PBUFS (2 * (TCP_WND / TCP_MSS)) /* against a window of one-byte segments */
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_KEEPALIVE 1
#define LWIP_TCP_TIMESTAMPS 0
#define TCP_LISTEN_BACKLOG 1
#define SO_REUSE 1
#define TCP_MSL 30000UL
#define LWIP_TCP_RTO_TIME 1000                                        /* RFC 6298, 2.1 */
#define LWIP_TCP_CALC_INITIAL_CWND(mss) ((tcpwnd_size_t)(10 * (mss))) /* RFC 6928 */

/* Sequence numbers that a third party cannot guess (RFC 6528). */
#define LWIP_HOOK_FILENAME "net/lwip_hooks.h"
#define LWIP_HOOK_TCP_ISN(local, local_port, remote, remote_port)                                  \
    net_tcp_isn(local, local_port, remote, remote_port)

#endif
