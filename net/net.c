/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the stack. */
#include "net/net.h"
#include "net/net_internal.h"

#include "lwip/tcpip.h"

enum status net_start(void) {
    net_sequence_start();
    net_interfaces_start();
    tcpip_init(NULL, NULL);
    enum status status = net_thread_status();
    if (status == STATUS_OK)
        net_tcp_start();
    return status;
}
