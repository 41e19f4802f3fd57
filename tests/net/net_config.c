/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: ip= gives exactly the configuration that its text says, and anything else is refused and
 * changes nothing. */
#include "net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void dhcp(void **state) {
    (void)state;
    struct net_interface_config config;
    assert_int_equal(net_parse_config("dhcp", &config), STATUS_OK);
    assert_true(config.dhcp);
}

static void accepts(const char *text, uint32_t address, uint32_t netmask, uint32_t gateway) {
    struct net_interface_config config;
    memset(&config, 0xff, sizeof config);
    if (net_parse_config(text, &config) != STATUS_OK)
        fail_msg("'%s' was refused", text);
    assert_false(config.dhcp);
    assert_int_equal(config.address, address);
    assert_int_equal(config.netmask, netmask);
    assert_int_equal(config.gateway, gateway);
}

static void addresses(void **state) {
    (void)state;
    accepts("192.168.1.10/24,192.168.1.1", 0xc0a8010a, 0xffffff00, 0xc0a80101);
    accepts("192.168.1.10/24", 0xc0a8010a, 0xffffff00, 0);
    accepts("10.0.0.1/8", 0x0a000001, 0xff000000, 0);
    accepts("10.255.255.254/1", 0x0afffffe, 0x80000000, 0);
    accepts("10.0.0.1/31,10.0.0.0", 0x0a000001, 0xfffffffe, 0x0a000000);
    accepts("10.0.0.1/32", 0x0a000001, 0xffffffff, 0);
    accepts("223.255.255.1/30,223.255.255.2", 0xdfffff01, 0xfffffffc, 0xdfffff02);
}

static void everything_else_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "DHCP",
                                        "dhcp ",
                                        "dhcp,10.0.0.1",
                                        "10.0.0.1",
                                        "10.0.0.1/",
                                        "10.0.0.1/0",
                                        "10.0.0.1/33",
                                        "10.0.0.1/24,",
                                        "10.0.0.1/24 ",
                                        " 10.0.0.1/24",
                                        "10.0.0/24",
                                        "10.0.0.1.2/24",
                                        "10.0.0.256/24",
                                        "10.0.0.01/24",
                                        "10.0.0.-1/24",
                                        "10.0.0.1/024",
                                        "10.0.0.4294967297/24",
                                        "10.0.0.1/4294967320",
                                        "a.b.c.d/24",
                                        "10.0.0.1/24,10.0.1.1", /* gateway elsewhere */
                                        "10.0.0.1/24,10.0.0.1",
                                        "10.0.0.1/24,0.0.0.0",
                                        "10.0.0.0/24",   /* the network */
                                        "10.0.0.255/24", /* broadcast */
                                        "0.1.2.3/8",
                                        "127.0.0.1/8",
                                        "224.0.0.1/24",
                                        "255.255.255.255/32",
                                        "10.0.0.1/24,10.0.0.2x"};
    struct net_interface_config config;
    memset(&config, 0x5a, sizeof config);
    struct net_interface_config before = config;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (net_parse_config(texts[i], &config) != STATUS_INVALID)
            fail_msg("'%s' was accepted", texts[i]);
        assert_memory_equal(&config, &before, sizeof config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dhcp),
        cmocka_unit_test(addresses),
        cmocka_unit_test(everything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
